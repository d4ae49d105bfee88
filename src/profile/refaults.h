// SPDX-License-Identifier: GPL-2.0-or-later
//
// What more DRAM would have saved. Pages that are out of DRAM are thought of as a list in the order in which
// they left, as if DRAM went on behind its end. A page that is used again has a place in that list: its
// refault distance, the number of pages that left after it and are still out. With that much more DRAM it would
// still have been there:
//
//                  <------------ DRAM ----------->|<---------- out, newest first ---------->
//    used last ->  [ ][ ][ ][ ][ ][ ][ ][ ][ ][ ] | [ ][ ][ ][x][ ][ ][ ][ ][ ]
//                                                    distance 3: 3 more pages would have kept x
//
// (The stack algorithm of Mattson, Gecsei, Slutz and Traiger, 1970, for the part of the list that can be seen. Linux,
// mm/workingset.c, Weiner 2013, has the same idea but counts all pages that left in between, which
// overestimates the distance where pages leave repeatedly.) It holds for an eviction that takes the longest
// unused page, or nearly so, and it counts a page the guest gave back while it was out until it is used again.
//
// One page of 32 is followed, chosen by hash (sampled_pages.h), and the place is found by counting followed
// pages. When each left is known to a 256th of the guest's pages, a distance not better than that.
//
// Refaults are of two kinds: those the guest waited for (a read on demand), and those it did not (prefetched in
// time, or zeros). More DRAM saves waiting only in the first, reads also in the second. One of a page that
// was not seen leaving (the profiler began later) counts as one that no DRAM would have saved.
#pragma once

#include "profile/half_life.h"
#include "profile/sampled_pages.h"

#include <array>
#include <cstdint>
#include <vector>

namespace tidemark {

class Refaults {
  public:
    static constexpr std::uint32_t kGroup = 32;
    static constexpr double kHalfLife = 300; // seconds
    // Bucket b: distances in [2^(b/4), 2^((b+1)/4)); the last: not known.
    static constexpr std::size_t kBuckets = 32 * 4 + 1;
    enum class Kind : std::uint8_t { waited, unwaited };

    explicit Refaults(std::uint32_t pages);

    // Each page that leaves DRAM is noted once. used: was it used since it had last left? If not, its place
    // in the list stays where it was.
    void left(PageRun run, bool used);
    void refault(PageRun run, Kind kind);
    // Came into DRAM for the first time, or as zeros: a refault only if it has been seen leaving.
    void touched(PageRun run);
    void tick(double now);

    // Of the decayed histogram of a kind: pages, pages a second, and the share with a distance of at most so many.
    double count(Kind kind) const;
    double per_second(Kind kind) const;
    double saved(Kind kind, std::uint64_t more_pages) const;
    // The distance that a share of the refaults with a known one does not exceed; both kinds together. 0
    // without any.
    double quantile(double share) const;
    std::size_t bytes() const {
        return (left_in_.capacity() + out_.capacity()) * sizeof(std::uint32_t);
    }

  private:
    static constexpr std::uint32_t kInDram = 0;   // otherwise the spell in which the page left
    static constexpr std::uint32_t kSpells = 512; // told apart; earlier ones count as one
    static constexpr std::uint32_t kRenumber = 1U << 20; // spells, then they are numbered anew
    void next_spell();
    void add_out(std::uint32_t g);
    void remove_out(std::uint32_t g);
    double distance(std::uint32_t g) const;
    void count_refault(std::uint32_t g, Kind kind);

    using Histogram = std::array<double, kBuckets>;
    const SampledPages<kGroup> sample_;
    const std::uint32_t spell_pages_; // a spell ends when that many pages have left
    std::vector<std::uint32_t> left_in_;
    std::vector<std::uint32_t> out_; // followed pages that are out, by spell modulo kSpells
    std::uint32_t out_earlier_ = 0;
    std::uint32_t spell_ = 1, left_in_spell_ = 0;
    std::array<Histogram, 2> histograms_{};
    HalfLife life_{kHalfLife};
};

} // namespace tidemark
