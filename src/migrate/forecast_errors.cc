// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/forecast_errors.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tidemark {

namespace {

// So many real errors weigh as much as the belief that there is none.
constexpr double kBelief = 4;
// Scores of a forecast whose bounds are right as they are: quantiles of the normal distribution, in units of
// the distance from the median to the 90th percentile.
constexpr std::array<double, 10> kMadeUp{-1.28, -0.81, -0.53, -0.30, -0.10,
                                         0.10,  0.30,  0.53,  0.81,  1.28};

// From so many real errors on, the highest but one of them is such a bound by itself, and made-up ones would only make it
// too wide where the model is better than its own bounds.
constexpr std::size_t kEnough = 19;

// Times and bytes err in proportion; a downtime by milliseconds, whatever its length.
bool in_proportion(Quantity quantity) {
    return quantity != Quantity::downtime;
}

// The distance of the two bounds is never taken for less than this.
double least_distance(Quantity quantity, double p50) {
    return in_proportion(quantity) ? 0.01 * p50 : 0.001;
}

double quantile(std::vector<double> values, double share) {
    const auto rank = static_cast<std::ptrdiff_t>(std::ceil(share * double(values.size() + 1))) - 1;
    const auto at = std::clamp(rank, std::ptrdiff_t{0}, std::ptrdiff_t(values.size()) - 1);
    std::nth_element(values.begin(), values.begin() + at, values.end());
    return values[std::size_t(at)];
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
double ForecastErrors::moved(Quantity quantity, double p50) const {
    const auto index = static_cast<std::size_t>(quantity);
    std::vector<double> errors;
    for (const ForecastError &error : kept_)
        if (usable(error, index))
            errors.push_back(in_proportion(quantity)
                                 ? std::log(error.actual[index] / error.forecast[index].p50)
                                 : error.actual[index] - error.forecast[index].p50);
    if (errors.empty())
        return p50;
    const double middle =
        quantile(errors, 0.5) * double(errors.size()) / (double(errors.size()) + kBelief);
    return in_proportion(quantity) ? p50 * std::exp(middle) : std::max(p50 * 0.1, p50 + middle);
}

Bound ForecastErrors::adjusted(Quantity quantity, Bound forecast) const {
    const auto index = static_cast<std::size_t>(quantity);
    std::vector<double> scores(kMadeUp.begin(), kMadeUp.end());
    for (const ForecastError &error : kept_) {
        const Bound &then = error.forecast[index];
        if (usable(error, index))
            scores.push_back((error.actual[index] - moved(quantity, then.p50)) /
                             std::max(then.p90 - then.p50, least_distance(quantity, then.p50)));
    }
    if (scores.size() >= kMadeUp.size() + kEnough)
        scores.erase(scores.begin(), scores.begin() + kMadeUp.size());
    const double p50 = moved(quantity, forecast.p50);
    const double distance =
        std::max(forecast.p90 - forecast.p50, least_distance(quantity, forecast.p50));
    return {p50, p50 + std::max(0.0, quantile(scores, 0.9)) * distance};
}

} // namespace tidemark
