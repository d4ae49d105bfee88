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
bool in_proportion(Quantity quantity) {
    return quantity != Quantity::downtime;
}

// The distance of the two bounds is never taken for less than this.
double least_distance(Quantity quantity, double p50) {
    return in_proportion(quantity) ? 0.01 * p50 : 0.001;
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

// The forecast's median, corrected by the middle of the errors.
double ForecastErrors::moved(Quantity quantity, const Bounds &forecast,
                             const ForecastError *but) const {
    const auto index = static_cast<std::size_t>(quantity);
    const double p50 = forecast[index].p50;
    std::vector<Weighed> errors;
    double known = 0;
    for (const ForecastError &error : kept_) {
        if (&error == but || !usable(error, index))
            continue;
        const double said = error.forecast[index].p50, came = error.actual[index];
        errors.push_back({in_proportion(quantity) ? std::log(came / said) : came - said,
                          alike(error.forecast, forecast)});
        known += errors.back().weight;
    }
    if (errors.empty())
        return p50;
    const double middle = quantile(errors, 0.5) * known / (known + kBelief);
    return in_proportion(quantity) ? p50 * std::exp(middle) : std::max(p50 * 0.1, p50 + middle);
}

Bound ForecastErrors::adjusted(Quantity quantity, const Bounds &forecast) const {
    const auto index = static_cast<std::size_t>(quantity);
    const auto distance_of = [&](const Bound &of) {
        return std::max(of.p90 - of.p50, least_distance(quantity, of.p50));
    };
    std::vector<Weighed> scores;
    for (const ForecastError &error : kept_) // each as if it had not come yet
        if (usable(error, index))
            scores.push_back({(error.actual[index] - moved(quantity, error.forecast, &error)) /
                              distance_of(error.forecast[index])});
    if (scores.size() < kEnough)
        for (const double score : kMadeUp)
            scores.push_back({score});
    const double p50 = moved(quantity, forecast, nullptr);
    return {p50, p50 + std::max(0.0, quantile(scores, 0.9)) * distance_of(forecast[index])};
}

Bounds ForecastErrors::adjusted(const Bounds &forecast) const {
    return {adjusted(Quantity::seconds, forecast), adjusted(Quantity::bytes, forecast),
            adjusted(Quantity::downtime, forecast)};
}

} // namespace tidemark
