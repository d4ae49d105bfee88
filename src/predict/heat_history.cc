// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/heat_history.h"

#include <algorithm>
#include <array>
#include <numbers>

namespace tidemark {

namespace {

constexpr std::int64_t kShortMean = 8, kLongMean = 32; // steps
constexpr std::int64_t kLongIdle = 64;

// exp2 and log2 are dear; levels have 256 values.
const std::array<float, 256> &heats() {
    static const std::array<float, 256> table = [] {
        std::array<float, 256> heat;
        for (std::size_t i = 0; i < heat.size(); ++i)
            heat[i] = HeatHistory::heat_of(static_cast<float>(i) / 255);
        return heat;
    }();
    return table;
}

} // namespace

float HeatHistory::heat_of(float level) {
    return std::exp2(level * std::log2(1.0f + kRegionPages)) - 1;
}

float HeatHistory::level_of(float heat) {
    const float level = std::log2(1 + std::max(0.0f, heat)) / std::log2(1.0f + kRegionPages);
    return std::min(1.0f, level);
}

HeatHistory::HeatHistory(std::uint32_t regions, std::size_t horizon)
    : group_((std::max(regions, 1u) + kMostUnits - 1) / kMostUnits),
      units_((std::max(regions, 1u) + group_ - 1) / group_), horizon_(horizon),
      ring_(units_ * kSteps), used_(units_, -std::int64_t{kSteps}), total_(kSteps),
      levels_(units_) {}

void HeatHistory::see(std::span<const float> heat) {
    ++now_;
    const std::size_t slot = static_cast<std::size_t>(now_) % kSteps;
    float total = 0;
    for (std::uint32_t unit = 0; unit < units_; ++unit) {
        float sum = 0;
        const auto end = std::min<std::size_t>(std::size_t{unit + 1} * group_, heat.size());
        for (std::size_t i = std::size_t{unit} * group_; i < end; ++i)
            sum += heat[i] > 0 ? heat[i] : 0; // and what is no number is none
        const float level = level_of(sum / static_cast<float>(group_));
        const auto kept = static_cast<std::uint8_t>(std::lround(level * 255));
        ring_[unit * kSteps + slot] = kept;
        levels_[unit] = static_cast<float>(kept) / 255;
        total += levels_[unit];
        if (kept > 0)
            used_[unit] = now_;
    }
    total_[slot] = total / static_cast<float>(units_);
    period_.see(levels_);
}

bool HeatHistory::active(std::uint32_t unit) const {
    return used_[unit] > now_ - std::int64_t{kSteps};
}

float HeatHistory::level(std::uint32_t unit, std::int64_t step) const {
    if (step < 0 || step > now_ || step <= now_ - std::int64_t{kSteps})
        return 0;
    return static_cast<float>(ring_[unit * kSteps + static_cast<std::size_t>(step) % kSteps]) / 255;
}

HeatHistory::Ahead HeatHistory::ahead(std::uint32_t unit, std::int64_t after) const {
    float sum = 0;
    std::uint8_t highest = 0;
    for (std::size_t i = 1; i <= horizon_; ++i) {
        const std::int64_t step = after + static_cast<std::int64_t>(i);
        if (step < 0 || step > now_ || step <= now_ - std::int64_t{kSteps})
            continue;
        const std::uint8_t one = ring_[unit * kSteps + static_cast<std::size_t>(step) % kSteps];
        sum += heats()[one];
        highest = std::max(highest, one);
    }
    return {level_of(sum / static_cast<float>(horizon_)), static_cast<float>(highest) / 255};
}

void HeatHistory::features(std::uint32_t unit, std::int64_t last, std::span<float> out) const {
    const auto period = static_cast<std::int64_t>(period_.steps());
    // So many periods ago that what followed then is known by now.
    const auto horizon = static_cast<std::int64_t>(horizon_);
    const std::int64_t ago = period == 0 ? 0 : (horizon + period - 1) / period * period;
    const std::int64_t first = last - std::int64_t{kSequence} + 1;
    float long_sum = 0, short_sum = 0;
    for (std::int64_t i = 1; i <= kLongMean; ++i) {
        const float one = level(unit, first - i);
        long_sum += one;
        short_sum += i <= kShortMean ? one : 0;
    }
    std::int64_t idle = 0;
    while (idle < kLongIdle && level(unit, first - 1 - idle) == 0)
        ++idle;
    float *x = out.data();
    for (std::int64_t step = first; step <= last; ++step, x += kFeatures) {
        const float now = level(unit, step);
        long_sum += now - level(unit, step - kLongMean);
        short_sum += now - level(unit, step - kShortMean);
        idle = now > 0 ? 0 : std::min(idle + 1, kLongIdle);
        x[0] = now;
        x[1] = 0.5f * ((unit > 0 ? level(unit - 1, step) : 0) +
                       (unit + 1 < units_ ? level(unit + 1, step) : 0));
        x[2] = short_sum / static_cast<float>(kShortMean);
        x[3] = long_sum / static_cast<float>(kLongMean);
        x[4] = std::log2(1 + static_cast<float>(idle)) / 6;
        x[5] = step >= 0 ? total_[static_cast<std::size_t>(step) % kSteps] : 0;
        std::fill(x + 6, x + kFeatures, 0.0f);
        if (period == 0)
            continue;
        const float angle = 2 * std::numbers::pi_v<float> * static_cast<float>(step % period) /
                            static_cast<float>(period);
        const Ahead then = ahead(unit, step - ago);
        x[6] = 1;
        x[7] = std::sin(angle);
        x[8] = std::cos(angle);
        x[9] = level(unit, step - period);
        x[10] = then.mean;
        x[11] = then.highest;
    }
}

std::size_t HeatHistory::bytes() const {
    return sizeof(*this) + ring_.capacity() + used_.capacity() * sizeof(used_[0]) +
           (total_.capacity() + levels_.capacity()) * sizeof(float) + period_.bytes();
}

} // namespace tidemark
