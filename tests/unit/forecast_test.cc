// SPDX-License-Identifier: GPL-2.0-or-later
//
// Forecasts of heat: periods are found, the baselines do what they say, and the network beats them where there is
// something to be learnt. (tests/perf/forecast_table prints by how much.)
#include "../perf/forecast_traces.h"
#include "predict/baselines.h"
#include "predict/heat_network.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>

using namespace tidemark;
using perf::HeatTraces;

namespace {

constexpr std::size_t kHorizon = 10;

// Mean absolute error over the last third.
double error_of(HeatForecaster &forecaster, const perf::Trace &trace) {
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t step = 0; step + kHorizon < trace.size(); ++step) {
        forecaster.see(trace[step]);
        for (std::uint32_t region = 0;
             step >= trace.size() * 2 / 3 && region < HeatTraces::kRegions; ++region) {
            float truth = 0;
            for (std::size_t i = 1; i <= kHorizon; ++i)
                truth += trace[step + i][region] / kHorizon;
            sum += double(std::abs(forecaster.forecast(region).heat - truth));
            ++count;
        }
    }
    return sum / double(count);
}

std::size_t period_of(const perf::Trace &trace) {
    HeatHistory history(HeatTraces::kRegions, kHorizon);
    for (const auto &heat : trace)
        history.see(heat);
    return history.period();
}

} // namespace

TEST_CASE("a period is found where there is one, and none where there is none") {
    HeatTraces traces(3);
    const std::size_t phases = period_of(traces.phases());
    CHECK((phases >= 57 && phases <= 63));
    CHECK(period_of(traces.periodic()) == 40);
    CHECK(period_of(traces.stationary()) == 0);
    CHECK(period_of(traces.random()) == 0);
    CHECK(period_of(perf::Trace(300, std::vector<float>(HeatTraces::kRegions, 7))) == 0);
    CHECK(period_of(perf::Trace(300, std::vector<float>(HeatTraces::kRegions, 0))) == 0);
}

TEST_CASE("levels and heat go over into each other, and history forgets") {
    for (const float heat : {0.0f, 1.0f, 32.0f, 512.0f})
        CHECK(std::abs(HeatHistory::heat_of(HeatHistory::level_of(heat)) - heat) <
              0.01f + heat * 1e-3f);
    CHECK(HeatHistory::level_of(1e9f) == 1);
    HeatHistory history(3, 5);
    history.see(std::vector<float>{512, 0, 512});
    CHECK(history.level(0, 0) == 1);
    CHECK(history.active(2));
    CHECK_FALSE(history.active(1));
    CHECK(history.level(0, 1) == 0); // yet to come
    for (std::size_t i = 0; i < HeatHistory::kSteps; ++i)
        history.see(std::vector<float>(3, 0.0f));
    CHECK(history.level(0, 0) == 0);
    CHECK_FALSE(history.active(2));
}

TEST_CASE("what the network is shown of a moment does not change with what comes after") {
    HeatTraces traces(4);
    const auto trace = traces.periodic();
    HeatHistory history(HeatTraces::kRegions, kHorizon);
    std::vector<float> then(HeatHistory::kFeatures * HeatHistory::kSequence), later(then.size());
    std::size_t step = 0;
    for (; step < 300; ++step)
        history.see(trace[step]);
    const std::size_t period = history.period();
    REQUIRE(period == 40);
    for (const std::uint32_t region : {0u, 17u, 127u}) {
        history.features(region, 299, then);
        HeatHistory longer = history;
        for (step = 300; step < 300 + kHorizon; ++step)
            longer.see(trace[step]);
        REQUIRE(longer.period() == period);
        longer.features(region, 299, later);
        CHECK(then == later);
    }
}

TEST_CASE("the baselines say what they are to say") {
    SameAsLast same;
    WeightedMean mean(0.5f);
    CHECK(same.forecast(0).heat == 0);
    CHECK(mean.forecast(0).heat == 0);
    for (HeatForecaster *one :
         {static_cast<HeatForecaster *>(&same), static_cast<HeatForecaster *>(&mean)}) {
        one->see(std::vector<float>{100, 0});
        one->see(std::vector<float>{0, 20});
    }
    CHECK(same.forecast(0).heat == 0);
    CHECK(same.forecast(1).heat == 20);
    CHECK(same.forecast(1).becomes_hot == 0);
    CHECK(mean.forecast(0).heat == 50);
    CHECK(mean.forecast(0).becomes_hot == 1);
    CHECK(mean.forecast(1).heat == 10);
    CHECK(mean.forecast(2).heat == 0);
}

TEST_CASE("on phases and on periodic traces the network beats both baselines") {
    HeatTraces traces(1);
    for (const perf::Trace &trace : {traces.phases(), traces.periodic()}) {
        SameAsLast same;
        WeightedMean mean(0.1f);
        HeatNetwork network(HeatTraces::kRegions, kHorizon, 800'000);
        const double least = std::min(error_of(same, trace), error_of(mean, trace));
        const double error = error_of(network, trace);
        INFO(error << " against " << least);
        CHECK(error < 0.8 * least);
    }
}

TEST_CASE("what it says is likely comes true about as often as it says") {
    HeatTraces traces(5);
    for (const perf::Trace &trace : {traces.phases(), traces.random()}) {
        HeatNetwork network(HeatTraces::kRegions, kHorizon, 800'000);
        double said = 0, came = 0;
        for (std::size_t step = 0; step + kHorizon < trace.size(); ++step) {
            network.see(trace[step]);
            for (std::uint32_t region = 0; step >= 600 && region < HeatTraces::kRegions; ++region) {
                const float likely = network.forecast(region).becomes_hot;
                if (likely < 0.05f)
                    continue;
                bool hot = false;
                for (std::size_t i = 1; i <= kHorizon; ++i)
                    hot = hot || trace[step + i][region] >= kHot;
                said += double(likely);
                came += hot;
            }
        }
        INFO(said << " said, " << came << " came");
        CHECK(came > 1000);
        CHECK(said < came * 1.25);
        CHECK(said > came * 0.8);
    }
}

TEST_CASE("the same seed gives the same forecasts") {
    HeatTraces traces(6);
    const auto trace = traces.drift();
    HeatNetwork one(HeatTraces::kRegions, kHorizon, 1'000'000),
        other(HeatTraces::kRegions, kHorizon, 1'000'000);
    for (std::size_t step = 0; step < 100; ++step) {
        one.see(trace[step]);
        other.see(trace[step]);
    }
    for (std::uint32_t region = 0; region < HeatTraces::kRegions; ++region)
        CHECK(one.forecast(region).heat == other.forecast(region).heat);
}
