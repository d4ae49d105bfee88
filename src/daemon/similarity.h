// SPDX-License-Identifier: GPL-2.0-or-later
//
// How alike two guests of one affinity group are, from 0 to 1. Guests of different groups, or of none, are never
// compared: a group is a trust boundary, and a score tells something of what is in a guest's memory.
//
//     score = sum(weight * part) / sum(weight), over the parts that are known of both
//
//     part      weight               what
//     heat      0.45                 cosine of the square roots of the heat vectors, at equal guest-physical offsets
//     content   0.35                 resemblance (Jaccard index) of the sets of page contents, estimated
//     workload  0.10 * confidence    1 if both have the same class, else 0; the lower confidence of the two
//     phases    0.10                 how alike number and rate of phases are
//
// Without heat and content the score is 0: a class alone says nothing about which pages come next. The square
// root keeps a few very hot regions from deciding alone (Hellinger). Heat is compared where it is, not
// stretched: two guests of different sizes are alike as far as both reach.
//
// Content: a bottom-k sketch, the k smallest of the pages' 64-bit checksums (Broder 1997; Cohen and Kaplan
// 2007). Of the k smallest of both sketches together, the share that is in both estimates the Jaccard
// index with a standard error of sqrt(J (1 - J) / k): at most 0.031 for k = 256. That hosts find alike VMs by
// fingerprints of their pages is from Wood et al., Memory Buddies (2009).
//
// What it can't tell: whether equal pages lie at equal addresses; that is what heat is for.
#pragma once

#include "capi/tidemark.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tidemark::daemon {

struct ContentSketch {
    static constexpr std::size_t kMost = TIDEMARK_SKETCH_VALUES;
    std::vector<std::uint64_t> values; // ascending, different; the smallest of all, or all
    std::uint64_t pages = 0;           // of which it is the sketch
    // More values than kMost are cut off; unsorted or repeated ones make it empty.
    static ContentSketch of(std::vector<std::uint64_t> values, std::uint64_t pages);
};

struct GuestTraits {
    std::string group; // its UUID, empty: none
    std::uint64_t memory = 0;
    std::uint64_t cell_bytes = 0; // of memory that a value of heat stands for; 0: no heat
    std::vector<float> heat;
    std::string workload; // "unknown" or empty: not known
    double workload_confidence = 0;
    double seconds = 0; // looked at for so long; phases count after a minute
    std::uint32_t phases = 0;
    std::uint64_t phase_changes = 0;
    ContentSketch sketch;
};

struct Similarity {
    bool comparable = false; // same group, and heat or content of both is known
    double score = 0;
    std::optional<double> heat, content, workload, phases;
};

std::optional<double> resemblance(const ContentSketch &a, const ContentSketch &b);
std::optional<double> heat_cosine(const GuestTraits &a, const GuestTraits &b);
Similarity compare(const GuestTraits &a, const GuestTraits &b);

} // namespace tidemark::daemon
