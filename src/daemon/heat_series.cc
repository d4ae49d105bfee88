// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/heat_series.h"

#include "base/units.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tidemark::daemon {

void HeatSeries::add(double at, std::uint64_t cell_bytes, const std::vector<float> &heat) {
    if (heat.empty() || cell_bytes == 0 || (!samples_.empty() && at <= samples_.back().at)) {
        return;
    }
    const std::size_t joined = (heat.size() + kSeriesCells - 1) / kSeriesCells;
    const bool first = cell_bytes != told_cell_bytes_ || heat.size() != told_cells_;
    if (first) {
        samples_.clear();
        heat_.assign((heat.size() + joined - 1) / joined, 0);
        told_cell_bytes_ = cell_bytes;
        told_cells_ = heat.size();
        cell_bytes_ = cell_bytes * joined;
    }
    std::vector<double> now(heat_.size(), 0);
    for (std::size_t i = 0; i < heat.size(); ++i) {
        now[i / joined] += std::isfinite(heat[i]) ? std::max(heat[i], 0.0F) : 0.0F;
    }
    Sample sample{at, {}, {}, std::vector<std::uint8_t>(heat_.size())};
    const double left = first ? 0 : std::exp2(-(at - samples_.back().at) / kHalfLife);
    const double pages = static_cast<double>(cell_bytes_) / static_cast<double>(kPageSize);
    const double enough = std::max(kActivePages, pages / 100);
    CellSet lately;
    for (auto past = samples_.rbegin(); past != samples_.rend() && at - past->at <= kRest; ++past) {
        lately |= past->active;
    }
    for (std::size_t i = 0; i < now.size(); ++i) {
        const double use = now[i] - heat_[i] * left;
        sample.active[i] = use >= enough;
        sample.used[i] =
            static_cast<std::uint8_t>(std::lround(255 * std::clamp(use / pages, 0.0, 1.0)));
    }
    sample.newly = sample.active & ~lately;
    heat_ = std::move(now);
    samples_.push_back(std::move(sample));
    if (samples_.size() > kSamples) {
        samples_.pop_front();
    }
}

} // namespace tidemark::daemon
