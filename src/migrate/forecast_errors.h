// SPDX-License-Identifier: GPL-2.0-or-later
//
// What was forecast and what came: from it, bounds that hold as often as they say. The median is moved by the middle of
// the errors so far, and the distance of the upper bound is stretched until nine in ten of them fall below (split
// conformal prediction: Vovk, Gammerman and Shafer 2005). A few made-up errors keep the first answers sane.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <span>

namespace tidemark {

struct Bound {
    double p50 = 0, p90 = 0;
};

enum class Quantity { seconds, bytes, downtime };
inline constexpr std::size_t kQuantities = 3;

// A forecast as it came from the model, before errors() had a say, and what it turned out to be.
struct ForecastError {
    std::array<Bound, kQuantities> forecast;
    std::array<double, kQuantities> actual{};
};

class ForecastErrors {
  public:
    static constexpr std::size_t kMost = 128; // older ones are forgotten

    void add(const ForecastError &error);
    void clear() { kept_.clear(); }
    const std::deque<ForecastError> &kept() const { return kept_; }

    Bound adjusted(Quantity quantity, Bound forecast) const;

  private:
    double moved(Quantity quantity, double p50) const;

    std::deque<ForecastError> kept_;
};

} // namespace tidemark
