// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/reclaim.h"

#include <algorithm>
#include <cmath>

namespace tidemark {

void Reclaim::configure(std::uint32_t slowdown, std::uint32_t cold_age, bool recording) {
    if (recording && !recording_) { // what it paused for is not what this costs
        resume_ = last_.now;
        pause_ = kPauseLeast;
    }
    recording_ = recording;
    bound_ = slowdown / 1000.0;
    cold_age_ = cold_age;
}

void Reclaim::look(const Sight &sight) {
    elapsed_ = seen_ ? sight.now - last_.now : 0;
    seen_ = true;
    if (elapsed_ > 0) {
        const double keep = std::exp2(-elapsed_ / (2 * cold_age_));
        earn_probes(sight, keep);
        earn_leaving(sight, keep);
        slowdown_ = average(slowdown_, sight.waited - last_.waited);
        slowdown_staged_ = average(slowdown_staged_, sight.waited_staged - last_.waited_staged);
    }
    last_ = sight;
    // What a guest loses while it is short of DRAM is the limit's doing, not ours.
    if (elapsed_ <= 0 || !may_probe())
        return;
    // While a guest comes back to its memory it waits for the tiers whatever is probed.
    const double cost = recording_ ? slowdown_staged_ : slowdown_;
    if (cost > bound()) {
        resume_ = last_.now + pause_;
        pause_ = std::min(pause_ * 2, kPauseMost);
    } else if (last_.now > resume_ + 2 * pause_) {
        pause_ = std::max(pause_ / 2, kPauseLeast);
        resume_ = last_.now;
    }
}

void Reclaim::earn_probes(const Sight &sight, double keep) {
    probed_ *= keep;
    probe_waits_ *= keep;
    if (!sight.short_of_dram)
        probe_waits_ += sight.waited_staged - last_.waited_staged;
    const double cost = (probe_waits_ + kProbeCost * kProbesKnown) / (probed_ + kProbesKnown);
    const double share = bound() * (recording_ ? 1 : kProbeShare);
    const double rate = share / std::clamp(cost, kProbeCost * kReturnLeast, kProbeCostMost);
    probe_credit_ = std::min(probe_credit_ + elapsed_ * rate, rate);
}

void Reclaim::earn_leaving(const Sight &sight, double keep) {
    const double waited = sight.waited - last_.waited - (sight.waited_staged - last_.waited_staged);
    const auto left = static_cast<double>(sight.left - last_.left);
    const auto returns = static_cast<double>(sight.returns - last_.returns);
    left_ *= keep;
    returns_ *= keep;
    late_ *= keep;
    if (!sight.short_of_dram) {
        left_ += left;
        returns_ += returns;
        late_ += static_cast<double>(sight.late - last_.late);
    }
    if (returns > 0)
        return_cost_ += (waited / returns - return_cost_) * std::min(1.0, returns / 256);
    const double coming = std::max(returns_ / (left_ + 1), late_ / (late_ + left_ + 1));
    const double cost = std::max(return_cost_, 1e-6) * std::clamp(coming, kReturnLeast, 1.0);
    const double rate = bound_ * kLeaveShare / cost;
    credit_ = std::clamp(credit_ - left + elapsed_ * rate, -rate, rate);
}

double Reclaim::average(double share, double waited) const {
    const double keep = std::exp(-elapsed_ / kAverage);
    return share * keep + waited / elapsed_ * (1 - keep);
}

std::uint32_t Reclaim::due(std::uint32_t regions) {
    if (!may_probe())
        return 0;
    const double rate = kLooks / cold_age_;
    owed_ += elapsed_ * regions * (recording_ ? std::max(rate, 1 / kRecordSweep) : rate);
    const double whole = std::min(std::floor(owed_), static_cast<double>(regions));
    owed_ = std::min(owed_ - whole, 1.0);
    return static_cast<std::uint32_t>(whole);
}

} // namespace tidemark
