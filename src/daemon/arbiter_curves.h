// SPDX-License-Identifier: GPL-2.0-or-later
//
// What more DRAM would save a guest, and what less would cost it, from what its profile says.
//
// More: the profile's miss-ratio curve tells the share of refaults that so much more DRAM would have saved (shares
// of some minutes); the rate it is a share of is the one just measured, so that a guest that fell silent stops
// asking at once. DRAM that the guest has and has not filled yet is the first of what more it would use; what the
// engine keeps free of it, so that faults need not wait, is in use.
//
// Less: the profile can't see what would be missed, but it sees how long memory has not been used. A page that was not
// used for a seconds is taken to be used once in a seconds at most: 1/a refaults a second. That holds for
// memory of which samples say so (tested); of the rest it is taken one step younger. DRAM the guest
// has not filled yet costs nothing, what is younger than all ages counts as used every kHotSeconds. An idle guest
// pays a quarter: it has nobody waiting.
//
// Where two guests both have memory of the oldest age only, 1/a tells them not apart. But a curve has no corner where
// the guest happens to stand: the first kFirst of its memory less costs what a little more would save, if it is tested to
// be of the oldest age. If that was wrong, the refaults of the next rounds say so.
#pragma once

#include "daemon/arbiter.h"

#include <cstdint>
#include <vector>

namespace tidemark::daemon {

struct UseOfDram {
    bool watched = false; // else nothing is seen of its resident memory
    bool idle = false;
    std::uint64_t memory = 0;
    std::uint64_t limit = 0, used = 0; // bytes
    double refaults_per_second = 0;    // as of now
    struct More {
        std::uint64_t bytes = 0;
        double share = 0; // of the refaults
    };
    std::vector<More> more{}; // ascending
    struct Cold {
        std::uint32_t seconds = 0;
        std::uint64_t bytes = 0, tested = 0; // of DRAM, unused for that long
    };
    std::vector<Cold> cold{}; // by seconds, ascending
};

inline constexpr std::uint64_t kFirst = 32;         // one part in so many
inline constexpr std::uint64_t kKeptFree = 8 << 20; // at most, and a 16th of the limit
inline constexpr double kHotSeconds = 10;
inline constexpr double kUnwatchedSeconds = 120; // taken for the age of memory nothing is known of
inline constexpr double kIdleDiscount = 0.25;

std::vector<DramEffect> gains_of(const UseOfDram &use);
std::vector<DramEffect> losses_of(const UseOfDram &use);

} // namespace tidemark::daemon
