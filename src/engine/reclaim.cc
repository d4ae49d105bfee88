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
    if (cost > (bound_ > 0 ? bound_ : kRecordBound)) {
        resume_ = now_ + pause_;
        pause_ = std::min(pause_ * 2, kPauseMost);
    } else if (now_ > resume_ + 2 * pause_) {
        pause_ = std::max(pause_ / 2, kPauseLeast);
        resume_ = now_;
    }
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
