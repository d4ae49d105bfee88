// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/reclaim.h"

#include <algorithm>
#include <cmath>

namespace tidemark {

void Reclaim::configure(std::uint32_t slowdown, std::uint32_t cold_age) {
    bound_ = slowdown / 1000.0;
    cold_age_ = cold_age;
}

void Reclaim::look(const Sight &sight) {
    elapsed_ = seen_ ? sight.now - now_ : 0;
    const double lost = seen_ ? sight.waited - waited_ : 0;
    seen_ = true;
    now_ = sight.now;
    waited_ = sight.waited;
    short_ = sight.short_of_dram;
    busy_ = sight.io_pressure > kBusyDisk;
    if (elapsed_ <= 0)
        return;
    const double keep = std::exp(-elapsed_ / kAverage);
    slowdown_ = slowdown_ * keep + lost / elapsed_ * (1 - keep);
    // What a guest loses while it is short of DRAM is the limit's doing, not ours.
    if (!on() || short_ || now_ < resume_)
        return;
    if (slowdown_ > bound_) {
        resume_ = now_ + pause_;
        pause_ = std::min(pause_ * 2, kPauseMost);
    } else if (now_ > resume_ + 2 * pause_) {
        pause_ = std::max(pause_ / 2, kPauseLeast);
        resume_ = now_;
    }
}

std::uint32_t Reclaim::due(std::uint32_t regions) {
    if (!may_probe())
        return 0;
    owed_ += elapsed_ * kLooks * regions / cold_age_;
    const double whole = std::min(std::floor(owed_), static_cast<double>(regions));
    owed_ = std::min(owed_ - whole, 1.0);
    return static_cast<std::uint32_t>(whole);
}

} // namespace tidemark
