// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/baselines.h"

namespace tidemark {

void WeightedMean::see(std::span<const float> heat) {
    if (mean_.size() != heat.size())
        mean_.assign(heat.begin(), heat.end());
    for (std::size_t i = 0; i < heat.size(); ++i)
        mean_[i] += weight_ * (heat[i] - mean_[i]);
    last_.assign(heat.begin(), heat.end());
}

HeatForecast WeightedMean::forecast(std::uint32_t region) const {
    if (region >= mean_.size())
        return {};
    const bool hot = last_[region] >= kHot;
    return {mean_[region], hot ? 0 : std::min(1.0f, mean_[region] / kHot)};
}

} // namespace tidemark
