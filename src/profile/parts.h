// SPDX-License-Identifier: GPL-2.0-or-later
//
// A closer look at some regions: the heat of each of their eight parts of 256 KiB. A look costs 48 bytes and
// there are few, an eighth of the regions, so they go where they pay:
//
//    every kReview seconds   a region warmer than the mean of the warm ones, and not split  ->  split
//    split, kEvidence pages seen, hottest four parts hold less than kUneven of it           ->  united,
//                                                                and left alone for kRest reviews
//    split, and gone cold                                                                   ->  united
//
// (Regions that split and unite as accesses show them uneven or alike: DAMON, Park et al., Middleware 2019.
// One level only, because a prefetch or an eviction of less than 256 KiB is not worth a decision by heat.)
#pragma once

#include "base/units.h"
#include "profile/half_life.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <vector>

namespace tidemark {

class RegionParts {
  public:
    static constexpr std::uint32_t kParts = 8;
    static constexpr std::uint32_t kPartPages = kRegionPages / kParts;
    static constexpr double kReview = 10;      // seconds
    static constexpr std::uint32_t kRest = 30; // reviews
    static constexpr float kEvidence = 64;     // pages
    static constexpr double kUneven = 0.75;    // of the heat, in half of the parts
    static constexpr double kWarm = 4;         // pages of heat; below, a region is cold
    struct Split {
        std::uint32_t region = 0;
        float seen = 0; // pages, not decayed
        std::array<float, kParts> heat{};
        bool live = false;
    };

    explicit RegionParts(std::uint32_t regions);

    // run: within the region, from its start.
    void used(std::uint32_t region, PageRun run, float weight);
    void scale(float factor);
    void tick(double now, const std::function<double(std::uint32_t)> &heat, const HalfLife &life);
    const Split *of(std::uint32_t region) const {
        return split_of_[region] == kNone ? nullptr : &pool_[split_of_[region]];
    }
    // Which share of the region's heat a page of it has, judged by its part if there is a closer look.
    double share_per_page(std::uint32_t region, std::uint32_t page, std::uint32_t pages) const;
    std::uint32_t live() const { return live_; }
    std::uint32_t pool() const { return static_cast<std::uint32_t>(pool_.size()); }
    std::size_t bytes() const {
        return pool_.capacity() * sizeof(Split) + split_of_.capacity() * sizeof(split_of_[0]) +
               rest_.capacity();
    }

  private:
    static constexpr std::uint16_t kNone = UINT16_MAX;
    void unite(Split &split, std::uint8_t rest);

    std::vector<Split> pool_;
    std::vector<std::uint16_t> split_of_;
    std::vector<std::uint8_t> rest_; // reviews until a region may be split again
    std::uint32_t live_ = 0;
    std::uint32_t hand_ = 0; // where the search for regions to split goes on
    double reviewed_ = 0;
};

} // namespace tidemark
