// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/reclaim.h"

#include <algorithm>
#include <cmath>

namespace tidemark {

void Reclaim::configure(std::uint32_t slowdown, std::uint32_t cold_age, bool recording) {
    if (recording && !recording_) { // what it paused for is not what this costs
        resume_ = now_;
        pause_ = kPauseLeast;
    }
    recording_ = recording;
    bound_ = slowdown / 1000.0;
    cold_age_ = cold_age;
}

void Reclaim::look(const Sight &sight) {
    elapsed_ = seen_ ? sight.now - now_ : 0;
    seen_ = true;
    now_ = sight.now;
    if (elapsed_ > 0) {
        const double keep = std::exp2(-elapsed_ / (2 * cold_age_));
        earn_probes(sight, keep);
        earn_leaving(sight, keep);
    }
    left_before_ = sight.left;
    returns_before_ = sight.returns;
    late_before_ = sight.late;
    average(slowdown_, waited_, sight.waited);
    average(slowdown_staged_, waited_staged_, sight.waited_staged);
    short_ = sight.short_of_dram;
    busy_ = sight.io_pressure > kBusyDisk;
    if (elapsed_ <= 0)
        return;
    // What a guest loses while it is short of DRAM is the limit's doing, not ours.
    if (!on() || short_ || now_ < resume_)
        return;
    // While a guest comes back to its memory it waits for the tiers whatever is probed.
    const double cost = recording_ ? slowdown_staged_ : slowdown_;
    if (cost > bound()) {
        resume_ = now_ + pause_;
        pause_ = std::min(pause_ * 2, kPauseMost);
    } else if (now_ > resume_ + 2 * pause_) {
        pause_ = std::max(pause_ / 2, kPauseLeast);
        resume_ = now_;
    }
}

void Reclaim::earn_probes(const Sight &sight, double keep) {
    probed_ *= keep;
    probe_waits_ *= keep;
    if (!sight.short_of_dram)
        probe_waits_ += sight.waited_staged - waited_staged_;
    const double cost = (probe_waits_ + kProbeCost * kProbesKnown) / (probed_ + kProbesKnown);
    const double share = bound() * (recording_ ? 1 : kProbeShare);
    const double rate = share / std::clamp(cost, kProbeCost * kReturnLeast, kProbeCostMost);
    probe_credit_ = std::min(probe_credit_ + elapsed_ * rate, rate);
}

void Reclaim::earn_leaving(const Sight &sight, double keep) {
    const double waited = sight.waited - waited_ - (sight.waited_staged - waited_staged_);
    const auto left = static_cast<double>(sight.left - left_before_);
    const auto returns = static_cast<double>(sight.returns - returns_before_);
    left_ *= keep;
    returns_ *= keep;
    late_ *= keep;
    if (!sight.short_of_dram) {
        left_ += left;
        returns_ += returns;
        late_ += static_cast<double>(sight.late - late_before_);
    }
    if (returns > 0)
        return_cost_ += (waited / returns - return_cost_) * std::min(1.0, returns / 256);
    const double coming = std::max(returns_ / (left_ + 1), late_ / (late_ + left_ + 1));
    const double cost = std::max(return_cost_, 1e-6) * std::clamp(coming, kReturnLeast, 1.0);
    const double rate = bound_ * kLeaveShare / cost;
    credit_ = std::clamp(credit_ - left + elapsed_ * rate, -rate, rate);
}

void Reclaim::average(double &share, double &before, double now) const {
    if (elapsed_ > 0) {
        const double keep = std::exp(-elapsed_ / kAverage);
        share = share * keep + (now - before) / elapsed_ * (1 - keep);
    }
    before = now;
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
