// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/forecast_errors.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tidemark {

namespace {

// So many real errors weigh as much as the belief that there is none.
constexpr double kBelief = 2;
// Scores of a forecast whose bounds are right as they are: quantiles of the normal distribution, in units of
// the distance from the median to the 90th percentile.
constexpr std::array<double, 10> kMadeUp{-1.28, -0.81, -0.53, -0.30, -0.10,
                                         0.10,  0.30,  0.53,  0.81,  1.28};

// From so many real errors on, the highest of them is such a bound by itself, and made-up ones would only make it too
// wide where the model is better than its own bounds.
constexpr std::size_t kEnough = 9;

// Forecasts that differ by this much (logarithms) are hardly alike; those that are not at all still count a little.
// Sizes are known well; a downtime is hardly the same twice.
constexpr std::array<double, kQuantities> kAlike{0.2, 0.2, 0.7};
constexpr double kLeastWeight = 0.05;

// Times and bytes err in proportion; a downtime by milliseconds, whatever its length.
bool in_proportion(std::size_t index) {
    return index != static_cast<std::size_t>(Quantity::downtime);
}

// Of the two bounds; never taken for less than this.
double distance_of(std::size_t index, const Bound &of) {
    return std::max(of.p90 - of.p50, in_proportion(index) ? 0.01 * of.p50 : 0.001);
}

struct Weighed {
    double value = 0, weight = 1;
};

// The value that this share of what is there stays below, and of one more of which nothing is known.
double quantile(std::vector<Weighed> values, double share) {
    std::sort(values.begin(), values.end(),
              [](const Weighed &a, const Weighed &b) { return a.value < b.value; });
    double all = 1;
    for (const Weighed &one : values)
        all += one.weight;
    double below = 0;
    for (const Weighed &one : values)
        if ((below += one.weight) >= share * all)
            return one.value;
    return values.back().value;
}

double alike(const Bounds &a, const Bounds &b) {
    double distance = 0; // squared
    for (std::size_t i = 0; i < kQuantities; ++i)
        if (a[i].p50 > 0 && b[i].p50 > 0)
            distance += std::pow(std::log(a[i].p50 / b[i].p50) / kAlike[i], 2);
    return std::max(kLeastWeight, std::exp(-distance / 2));
}

bool usable(const ForecastError &error, std::size_t index) {
    return error.forecast[index].p50 > 0 && error.actual[index] > 0;
}

} // namespace

void ForecastErrors::add(const ForecastError &error) {
    kept_.push_back(error);
    if (kept_.size() > kMost)
        kept_.pop_front();
}

ForecastErrors::Weights ForecastErrors::weights_for(const Bounds &forecast,
                                                    const ForecastError *but) const {
    Weights weights;
    weights.reserve(kept_.size());
    for (const ForecastError &error : kept_)
        weights.push_back(&error == but ? 0 : alike(error.forecast, forecast));
    return weights;
}

// The forecast's median, corrected by the middle of the errors.
double ForecastErrors::moved(std::size_t index, double p50, const Weights &weights) const {
    std::vector<Weighed> errors;
    double known = 0;
    for (std::size_t i = 0; i < kept_.size(); ++i) {
        if (weights[i] == 0 || !usable(kept_[i], index))
            continue;
        const double said = kept_[i].forecast[index].p50, came = kept_[i].actual[index];
        errors.push_back({in_proportion(index) ? std::log(came / said) : came - said, weights[i]});
        known += weights[i];
    }
    if (errors.empty())
        return p50;
    const double middle = quantile(errors, 0.5) * known / (known + kBelief);
    return in_proportion(index) ? p50 * std::exp(middle) : std::max(p50 * 0.1, p50 + middle);
}

Bounds ForecastErrors::adjusted(const Bounds &forecast) const {
    std::array<std::vector<Weighed>, kQuantities> scores;
    for (const ForecastError &error : kept_) { // each as if it had not come yet
        const Weights weights = weights_for(error.forecast, &error);
        for (std::size_t i = 0; i < kQuantities; ++i) {
            const Bound &then = error.forecast[i];
            if (usable(error, i))
                scores[i].push_back(
                    {(error.actual[i] - moved(i, then.p50, weights)) / distance_of(i, then)});
        }
    }
    const Weights weights = weights_for(forecast, nullptr);
    Bounds out;
    for (std::size_t i = 0; i < kQuantities; ++i) {
        if (scores[i].size() < kEnough)
            for (const double score : kMadeUp)
                scores[i].push_back({score});
        const double p50 = moved(i, forecast[i].p50, weights);
        const double stretch = std::max(0.0, quantile(scores[i], 0.9));
        out[i] = {p50, p50 + stretch * distance_of(i, forecast[i])};
    }
    return out;
}

} // namespace tidemark
