// SPDX-License-Identifier: GPL-2.0-or-later
//
// The recurrent network (gru.h) as a forecaster of heat. One set of weights for all regions: it is shown what a
// region did (heat_history.h), and says how much it will be used, as a difference from its mean, and how likely it
// becomes hot. After each step it learns from what has come true: moments `horizon` steps ago, and older ones again.
//
// What it says of a region's becoming hot is corrected by how often that came true when it said so before.
//
// Cost: a stated number of multiply-adds a step, half for learning, half for forecasts; regions take turns if there
// are too many. No clock is needed: a core does 1 to 4 billion of them a second.
#pragma once

#include "predict/forecaster.h"
#include "predict/gru.h"
#include "predict/heat_history.h"

#include <array>
#include <deque>
#include <random>
#include <vector>

namespace tidemark {

class HeatNetwork final : public HeatForecaster {
  public:
    static constexpr std::uint64_t kBudget =
        10'000'000; // at most 1 % of a core, 0.3 % where measured

    HeatNetwork(std::uint32_t regions, std::size_t horizon, std::uint64_t budget = kBudget,
                std::uint32_t seed = 1);

    std::string_view name() const override { return "network"; }
    void see(std::span<const float> heat) override;
    HeatForecast forecast(std::uint32_t region) const override;

    const HeatHistory &history() const { return history_; }
    std::size_t horizon() const { return horizon_; }
    std::uint64_t spent() const { return spent_; } // multiply-adds, so far
    void encode(ByteWriter &out) const;
    Result<void> decode(ByteReader &in, const Seal &seal);
    std::size_t bytes() const;

  private:
    static constexpr std::size_t kOutputs = 2, kBins = 10, kChecksPerStep = 64;
    struct Bin { // of what it said: how often it came true
        float said = 0, came = 0;
    };
    struct Check {
        std::int64_t step;
        std::uint32_t unit;
        float likely;
    };

    void check();
    void learn();
    bool lesson(std::uint32_t unit, std::int64_t at);
    std::int64_t pick_moment(std::uint32_t unit);
    void forecast_all();
    float corrected(float likely) const;
    std::uint64_t cost_of_input() const;

    HeatHistory history_;
    std::size_t horizon_;
    std::uint64_t budget_, spent_ = 0;
    std::mt19937 random_;
    Gru gru_;
    Gru::Trace trace_;
    std::vector<float> input_;
    std::vector<HeatForecast> forecasts_; // by unit
    std::vector<std::uint32_t> active_;   // units
    std::uint32_t turn_ = 0;
    std::array<Bin, kBins> bins_{};
    std::deque<Check> checks_; // at most kChecksPerStep * horizon
};

} // namespace tidemark
