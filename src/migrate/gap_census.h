// SPDX-License-Identifier: GPL-2.0-or-later
//
// After what times pages are written again, over all of them. A guest that walks its memory around and around
// has one such time; one that writes here and there has any.
#pragma once

#include "migrate/page_writes.h"

#include <array>
#include <numeric>
#include <optional>

namespace tidemark {

class GapCensus {
  public:
    void count(std::uint8_t code) { counts_[code] += 1; }
    void forget(double seconds) {
        const float left = static_cast<float>(std::exp2(-seconds / kHalfLife));
        for (float &count : counts_)
            count *= left;
    }
    // The time that at least half of them share, if each is known to within `blur` seconds.
    std::optional<double> common(double blur) const;

  private:
    static constexpr double kHalfLife = 60; // seconds
    static constexpr float kEnough = 64;    // gaps, to say anything
    std::array<float, 256> counts_{};
};

inline std::optional<double> GapCensus::common(double blur) const {
    const float all = std::accumulate(counts_.begin(), counts_.end(), 0.0f);
    const int most = static_cast<int>(counts_.size());
    for (int middle = 1; all >= kEnough && middle < most; ++middle) {
        const double seconds = SpanCode::seconds(static_cast<std::uint8_t>(middle));
        if (counts_[static_cast<std::size_t>(middle)] == 0 || blur > seconds / 2)
            continue;
        const int reach = 2 + static_cast<int>(SpanCode::kOctave * std::log2(1 + blur / seconds));
        double sum = 0, weighted = 0;
        for (int i = std::max(1, middle - reach); i <= std::min(most - 1, middle + reach); ++i) {
            const double count = counts_[static_cast<std::size_t>(i)];
            sum += count;
            weighted += count * SpanCode::seconds(static_cast<std::uint8_t>(i));
        }
        // The window may only touch the peak: it is the middle one if it lies in its own mean.
        if (sum >= 0.5 * all && std::abs(SpanCode::of_seconds(weighted / sum) - middle) <= 1)
            return weighted / sum;
    }
    return std::nullopt;
}

} // namespace tidemark
