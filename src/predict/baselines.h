// SPDX-License-Identifier: GPL-2.0-or-later
//
// Forecasts that cost nothing. What is to be worth its cost has to beat them.
#pragma once

#include "predict/forecaster.h"

#include <algorithm>
#include <vector>

namespace tidemark {

// All stays as it was in the last step. So nothing ever becomes hot.
class SameAsLast final : public HeatForecaster {
  public:
    std::string_view name() const override { return "same as last"; }
    void see(std::span<const float> heat) override { last_.assign(heat.begin(), heat.end()); }
    HeatForecast forecast(std::uint32_t region) const override {
        return {region < last_.size() ? last_[region] : 0, 0};
    }

  private:
    std::vector<float> last_;
};

// An exponentially weighted mean goes on. A region becomes hot as likely as its mean is near to hot.
class WeightedMean final : public HeatForecaster {
  public:
    // weight: of the newest step, above 0 and at most 1.
    explicit WeightedMean(float weight) : weight_(weight) {}
    std::string_view name() const override { return "weighted mean"; }
    void see(std::span<const float> heat) override;
    HeatForecast forecast(std::uint32_t region) const override;

  private:
    float weight_;
    std::vector<float> mean_, last_;
};

} // namespace tidemark
