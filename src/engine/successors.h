// SPDX-License-Identifier: GPL-2.0-or-later
//
// Orders that come again though they are not in sequence: a hash join, a pointer chase, a garbage collection.
// For each page the page that was needed after it the last time, 4 bytes a page, and for each thread how well
// this has foretold its faults of late:
//
//    fault where the chain from the thread's last one leads   the window grows fourfold, up to its bound
//    fault anywhere else                                       no window; the link is learnt anew
//
// So a first pass learns, the second is recognised after kBefore faults, and an order that never comes again
// costs nothing but the table. (Markov prefetching of first order: Joseph and Grunwald, ISCA 1997.)
#pragma once

#include "base/units.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

class Successors {
  public:
    static constexpr std::uint32_t kMost = 64; // pages of a window
    static constexpr std::uint32_t kBefore = 2;

    explicit Successors(std::uint32_t pages) : next_(pages, kNone) {}

    // A fault of a thread: learns, and appends the pages that are worth having with it, soonest first, at
    // most `most`. Returns how many of those read for its last fault this one shows to have been needed.
    std::uint32_t look(PageIndex page, std::int32_t thread, std::uint32_t most,
                       std::vector<PageIndex> &expected);
    // These of them, from the front, are or will be in DRAM, `read` of them read for its sake.
    void served(PageIndex page, std::int32_t thread, std::span<const PageIndex> expected,
                std::uint32_t read = 0);
    // What comes after page, at most `most` pages.
    void behind(PageIndex page, std::uint32_t most, std::vector<PageIndex> &expected) const;
    std::size_t bytes() const { return next_.capacity() * sizeof(next_[0]); }

  private:
    static constexpr std::uint32_t kNone = UINT32_MAX;
    struct Track { // of one thread
        std::int32_t thread = -1;
        std::uint32_t last = kNone; // the last page of its order that is or was in DRAM
        std::uint32_t fulfilled = 0;
        std::uint32_t window = 0;
        std::uint32_t read = 0;
        std::uint64_t used = 0;
    };
    Track &track_of(std::int32_t thread);
    bool foretold(const Track &track, std::uint32_t page) const;

    std::vector<std::uint32_t> next_;
    std::array<Track, 8> tracks_{};
    std::uint64_t turn_ = 0;
};

} // namespace tidemark
