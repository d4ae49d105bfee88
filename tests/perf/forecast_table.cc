// SPDX-License-Identifier: GPL-2.0-or-later
//
// Is the network worth its cost? Its forecasts of synthetic traces beside two that cost nothing. The last third of
// each trace is judged. The baselines are given the weight and the threshold that suit them best, in hindsight.
//
//    forecast_table [--json] [--seed N]
#include "forecast_traces.h"
#include "json.h"
#include "predict/baselines.h"
#include "predict/heat_network.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

using namespace tidemark;
using namespace tidemark::perf;

namespace {

constexpr std::size_t kHorizon = 10;
constexpr std::size_t kFrom = HeatTraces::kSteps * 2 / 3;

struct Judged {
    double error = 0;     // mean absolute, pages a second
    double f1 = 0;        // of "becomes hot"
    double threshold = 0; // of the likelihood, for that
    double cpu = 0;       // seconds a second of the trace
};

// Counts of said and true, for each threshold.
class Hits {
  public:
    void add(float said, bool came) {
        for (std::size_t i = 0; i < kThresholds; ++i) {
            const bool yes = said >= threshold(i) && said > 0;
            right_[i] += yes && came;
            wrong_[i] += yes != came;
        }
    }
    static double threshold(std::size_t i) {
        return static_cast<double>(i + 1) / (kThresholds + 1);
    }
    double f1(std::size_t i) const {
        const double all = 2.0 * static_cast<double>(right_[i]) + static_cast<double>(wrong_[i]);
        return all > 0 ? 2.0 * static_cast<double>(right_[i]) / all : 1;
    }
    std::size_t best() const {
        std::size_t best = 0;
        for (std::size_t i = 1; i < kThresholds; ++i)
            if (f1(i) > f1(best))
                best = i;
        return best;
    }
    static constexpr std::size_t kThresholds = 19; // 0.05 to 0.95

  private:
    std::uint64_t right_[kThresholds] = {}, wrong_[kThresholds] = {};
};

Judged judge(HeatForecaster &forecaster, const Trace &trace, bool best_threshold) {
    Judged judged;
    Hits hits;
    std::uint64_t count = 0;
    for (std::size_t step = 0; step + kHorizon < trace.size(); ++step) {
        const auto begin = std::chrono::steady_clock::now();
        forecaster.see(trace[step]);
        judged.cpu +=
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        if (step < kFrom)
            continue;
        for (std::uint32_t region = 0; region < HeatTraces::kRegions; ++region) {
            const HeatForecast said = forecaster.forecast(region);
            float sum = 0, highest = 0;
            for (std::size_t i = 1; i <= kHorizon; ++i) {
                sum += trace[step + i][region];
                highest = std::max(highest, trace[step + i][region]);
            }
            judged.error += std::abs(static_cast<double>(said.heat) - double{sum} / kHorizon);
            ++count;
            if (trace[step][region] < kHot)
                hits.add(said.becomes_hot, highest >= kHot);
        }
    }
    const std::size_t at = best_threshold ? hits.best() : Hits::kThresholds / 2;
    judged.f1 = hits.f1(at);
    judged.threshold = Hits::threshold(at);
    judged.error /= static_cast<double>(count);
    judged.cpu /= static_cast<double>(trace.size() - kHorizon);
    return judged;
}

Judged best_mean(const Trace &trace) {
    Judged best;
    best.error = 1e9;
    for (const float weight : {0.02f, 0.05f, 0.1f, 0.2f, 0.4f}) {
        WeightedMean forecaster(weight);
        const Judged one = judge(forecaster, trace, true);
        const double f1 = std::max(best.f1, one.f1);
        if (one.error < best.error)
            best = one;
        best.f1 = f1;
    }
    return best;
}

void print(const char *trace, const char *who, const Judged &judged, bool json) {
    if (json) {
        JsonObject line;
        line.text("trace", trace);
        line.text("forecaster", who);
        line.number("mean_absolute_error", judged.error);
        line.number("becomes_hot_f1", judged.f1);
        line.number("cpu_share", judged.cpu);
        std::printf("%s\n", line.str().c_str());
        return;
    }
    std::printf("| %-10s | %-13s | %8.2f | %5.2f | %7.3f %% |\n", trace, who, judged.error,
                judged.f1, judged.cpu * 100);
}

} // namespace

int main(int count, char **arguments) {
    bool json = false;
    std::uint32_t seed = 1;
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(arguments[i], "--json") == 0) {
            json = true;
        } else if (std::strcmp(arguments[i], "--seed") == 0 && i + 1 < count) {
            seed = static_cast<std::uint32_t>(std::strtoul(arguments[++i], nullptr, 10));
        } else {
            std::fprintf(stderr, "usage: forecast_table [--json] [--seed N]\n");
            return 2;
        }
    }
    HeatTraces traces(seed);
    const std::pair<const char *, Trace> all[] = {{"stationary", traces.stationary()},
                                                  {"phases", traces.phases()},
                                                  {"periodic", traces.periodic()},
                                                  {"drift", traces.drift()},
                                                  {"random", traces.random()}};
    if (!json)
        std::printf(
            "horizon %zu s, %u regions, %zu s, the last third judged\n"
            "| trace      | forecast      | error, pages/s | F1 of becoming hot | of a core |\n"
            "|---|---|---|---|---|\n",
            kHorizon, HeatTraces::kRegions, HeatTraces::kSteps);
    for (const auto &[name, trace] : all) {
        SameAsLast same;
        HeatNetwork network(HeatTraces::kRegions, kHorizon, HeatNetwork::kBudget, seed);
        print(name, "same as last", judge(same, trace, true), json);
        print(name, "weighted mean", best_mean(trace), json);
        print(name, "network", judge(network, trace, false), json);
    }
    return 0;
}
