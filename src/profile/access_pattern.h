// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the order and the kind of accesses say: locality, walks, reads against writes. Decayed counts.
//
// The engine's log joins accesses to neighbours into one run, so a run of n is taken for n accesses: the first is
// compared with the last kRecent runs, the others lie next to it by themselves.
#pragma once

#include "engine/access.h"
#include "profile/half_life.h"

#include <array>
#include <cstdint>

namespace tidemark {

class AccessPattern {
  public:
    static constexpr double kHalfLife = 60; // seconds
    static constexpr std::size_t kRecent = 8;
    static constexpr std::uint32_t kNear = 16; // pages

    void used(const Access &access);
    void tick(double now);

    // Within kNear pages of one of the last kRecent runs, before or behind.
    double locality() const { return share(near_, pages_); }
    // Where one of the last kRecent runs ended, or less than kNear pages further on.
    double in_order() const { return share(in_order_, pages_); }
    // Of the accesses whose fault said it: the share that wrote. First touches apart: memory is written
    // first whatever it is for.
    double write_share() const { return share(written_, faulted_); }
    double refault_write_share() const { return share(rewritten_, refaulted_); }
    double first_touch_share() const { return share(first_touched_, pages_); }
    double pages() const { return life_.of(pages_); } // decayed: how much the shares rest on
    double refault_pages() const { return life_.of(refaulted_); }
    double pages_per_second() const { return life_.per_second(pages_); }

  private:
    static double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

    HalfLife life_{kHalfLife};
    std::array<PageRun, kRecent> recent_{};
    std::size_t next_ = 0;
    double pages_ = 0, near_ = 0, in_order_ = 0, first_touched_ = 0;
    double faulted_ = 0, written_ = 0, refaulted_ = 0, rewritten_ = 0;
};

} // namespace tidemark
