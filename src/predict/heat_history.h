// SPDX-License-Identifier: GPL-2.0-or-later
//
// The heat of each region in the last kSteps steps, and what the network is told of it.
//
// Kept as levels, logarithmic, in one byte: 512 bytes a region; of a memory of more than kMostUnits regions (8 GiB)
// neighbouring ones share one: 2 MiB at most. So any past moment can be shown to the network as it was then.
#pragma once

#include "predict/forecaster.h"
#include "predict/period.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

class HeatHistory {
  public:
    static constexpr std::uint32_t kMostUnits = 4096;
    static constexpr std::size_t kSteps = 512;
    static constexpr std::size_t kFeatures = 12;
    static constexpr std::size_t kSequence = 8; // steps the network is shown

    HeatHistory(std::uint32_t regions, std::size_t horizon);

    void see(std::span<const float> heat);

    std::uint32_t units() const { return units_; }
    std::uint32_t unit_of(std::uint32_t region) const { return region / group_; }
    std::uint32_t regions_per_unit() const { return group_; }
    std::int64_t now() const { return now_; } // the last step; -1: none yet
    std::size_t period() const { return period_.steps(); }
    // Used within the last kSteps steps.
    bool active(std::uint32_t unit) const;
    // 0 to 1; 0 if the step is unknown: too long ago, or yet to come.
    float level(std::uint32_t unit, std::int64_t step) const;
    // Mean heat of a region of the unit that belongs to a level, and back.
    static float heat_of(float level);
    static float level_of(float heat);
    // The mean level of the heat in (after, after + horizon], and the highest level.
    struct Ahead {
        float mean = 0, highest = 0;
    };
    Ahead ahead(std::uint32_t unit, std::int64_t after) const;
    // The inputs for the kSequence steps up to `last`, as they were known then.
    void features(std::uint32_t unit, std::int64_t last, std::span<float> out) const;
    std::size_t bytes() const;

  private:
    std::uint32_t group_, units_;
    std::size_t horizon_;
    std::int64_t now_ = -1;
    std::vector<std::uint8_t> ring_; // [unit][step % kSteps]
    std::vector<std::int64_t> used_; // last step
    std::vector<float> total_;       // [step % kSteps]: mean level of all units
    std::vector<float> levels_;      // of the last step
    Period period_;
};

} // namespace tidemark
