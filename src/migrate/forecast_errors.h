// SPDX-License-Identifier: GPL-2.0-or-later
//
// What was forecast and what came: from it, bounds that hold as often as they say. The median is moved by the middle of
// the errors so far, and the distance of the upper bound is stretched until nine in ten of them fall below (split
// conformal prediction: Vovk, Gammerman and Shafer 2005). A few made-up errors keep the first answers sane.
//
// A model errs with one guest as it did with it before, and with another one in another way. Who a forecast is of is
// not known here, but what it said is: for the median, an error counts the more the more alike the two forecasts are
// (weights by distance: Guan, Localized conformal prediction, 2023). How far errors lie from that median is taken from
// all alike, or it would take each guest many migrations to learn.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <span>
#include <vector>

namespace tidemark {

struct Bound {
    double p50 = 0, p90 = 0;
};

enum class Quantity { seconds, bytes, downtime };
inline constexpr std::size_t kQuantities = 3;

using Bounds = std::array<Bound, kQuantities>; // by Quantity

// A forecast as it came from the model, before errors() had a say, and what it turned out to be.
struct ForecastError {
    Bounds forecast;
    std::array<double, kQuantities> actual{};
};

class ForecastErrors {
  public:
    static constexpr std::size_t kMost = 128; // older ones are forgotten

    void add(const ForecastError &error);
    void clear() { kept_.clear(); }
    const std::deque<ForecastError> &kept() const { return kept_; }

    // O(n * n) for n errors: at kMost, about 1.5 ms.
    Bounds adjusted(const Bounds &forecast) const;

  private:
    using Weights = std::vector<double>; // of the kept errors; 0: this one is left out

    Weights weights_for(const Bounds &forecast, const ForecastError *but) const;
    double moved(std::size_t index, double p50, const Weights &weights) const;

    std::deque<ForecastError> kept_;
};

} // namespace tidemark
