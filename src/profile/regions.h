// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is known of each 2 MiB of a guest's memory: how hot, when last seen used, how much of it is in DRAM,
// and what its last sample said. Less than 50 bytes a region, the pool of splits (parts.h) included.
//
// What a sample means. A resident page raises no fault, so its use goes unseen. A page on probation (staged)
// is in DRAM too, but its next use is seen: it has been put to the test. Of the pages of a region that were put
// to the test in the last minutes, n, some came back, k; k / (n + 1) is the share of the region in use (as if
// one more had not come back, because a single page says little). n is what must have gone in, given how many are
// on probation now and before, came back, and left. So
//  - when a page comes back, its region's heat is raised to that share of its resident pages, if it is lower:
//    memory that is in use and resident stays as hot as if it were seen. It is raised, not added to: many
//    samples of the same memory don't make it hotter than all of its pages;
//  - the working set counts that share of its resident pages (use_stamps.h).
// A page that comes back brings others along: all of its huge page, or where a guest walks those ahead. That ends their
// test before it has said anything about them. They count as back, not as seen used: of a huge page of which
// any was used all counts as in use, as all of it takes DRAM.
// Without samples a resident region cools, however much it is used. The figures that suffer from that say
// how many pages they know nothing of.
#pragma once

#include "profile/half_life.h"
#include "profile/parts.h"
#include "profile/residency.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

// Pages in DRAM whose region has not been seen used for that long: at most that many are cold.
struct ColdSet {
    std::uint32_t seconds = 0;
    std::uint64_t pages = 0;
    std::uint64_t tested_pages =
        0; // of these: in regions with pages on probation that did not come back
};

struct Region {
    // Pages seen used, put to the test, and back from it; decayed, in HalfLife's scale.
    float heat = 0, tested = 0, passed = 0;
    std::uint32_t used_at = 0;     // second in which it was last seen used
    std::uint32_t tested_at = 0;   // second in which a page last went into the test or came out
    std::uint32_t reported_at = 0; // second of `reported`
    std::uint16_t reported = 0;    // pages that another source reported in use
    std::uint16_t resident = 0, staged = 0;
    std::uint16_t returned = 0, left = 0; // from probation, since the last tick
    std::uint8_t share = 0;               // 255 * k / (n + 1), as of the last test
    bool known = false;                   // there was a test
};

class Regions {
  public:
    static constexpr double kHalfLife = 60; // seconds
    explicit Regions(std::uint32_t pages);

    void used(PageRun run);     // lies in the block
    void returned(PageRun run); // from probation: used, or come along
    void left(PageRun run);     // DRAM, from probation
    // So many pages of a region are in use, says a source that does not say which.
    void reported(std::uint32_t region, std::uint32_t pages);
    void tick(double now, const Residency &residency);

    // Pages seen used per region since close_window().
    const std::vector<float> &window() const { return window_; }
    void close_window() { std::fill(window_.begin(), window_.end(), 0.0F); }
    std::uint32_t size() const { return static_cast<std::uint32_t>(regions_.size()); }
    const Region &operator[](std::uint32_t region) const { return regions_[region]; }
    double heat(std::uint32_t region) const { return life_.of(double{regions_[region].heat}); }
    // Heat for each page of the part of memory around page: finer than a region where that is split.
    double heat_per_page(PageIndex page) const;
    std::uint32_t split() const { return parts_.live(); }
    bool is_split(std::uint32_t region) const { return parts_.of(region) != nullptr; }
    std::uint32_t second() const { return second_; }
    ColdSet cold(std::uint32_t seconds) const;
    std::size_t bytes() const;

  private:
    void learn(Region &region, std::uint16_t staged_before);

    const std::uint32_t pages_;
    HalfLife life_{kHalfLife};
    std::vector<Region> regions_;
    std::vector<float> window_;
    RegionParts parts_;
    std::uint32_t second_ = 0;
};

} // namespace tidemark
