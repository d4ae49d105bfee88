// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who forecasts how much regions will be used. Steps follow each other without gaps, one a second; heat is the number
// of a region's pages seen used in a step. A forecast is about the next `horizon` steps.
#pragma once

#include "base/units.h"

#include <cmath>
#include <span>
#include <string_view>

namespace tidemark {

// A region is hot in a step in which it has that much heat.
inline constexpr float kHot = kRegionPages / 16;

struct HeatForecast {
    float heat = 0; // expected mean of the steps of the horizon
    float becomes_hot =
        0; // it is not hot now, and will be in some step of the horizon: how likely (0 to 1)
};

class HeatForecaster {
  public:
    virtual ~HeatForecaster() = default;
    virtual std::string_view name() const = 0;
    virtual void see(std::span<const float> heat) = 0; // of all regions, in one step
    virtual HeatForecast forecast(std::uint32_t region) const = 0;
};

} // namespace tidemark
