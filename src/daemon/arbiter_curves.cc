// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/arbiter_curves.h"

#include "base/units.h"

#include <algorithm>
#include <map>

namespace tidemark::daemon {
namespace {

double pages(std::uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(kPageSize);
}

std::uint64_t unfilled_of(const UseOfDram &use) {
    const std::uint64_t room = use.limit - std::min(use.limit, use.used);
    return room - std::min({room, use.limit / 16, kKeptFree});
}

// Refaults a second that a page more would save, at most.
double first_rate(const UseOfDram &use) {
    double rate = 0;
    for (const DramEffect &gain : gains_of(use)) {
        rate = std::max(rate, gain.faults / pages(gain.bytes));
    }
    return rate;
}

} // namespace

std::vector<DramEffect> gains_of(const UseOfDram &use) {
    const std::uint64_t unfilled = unfilled_of(use);
    std::vector<DramEffect> gains;
    DramEffect last, had; // what it has, and has not filled, saves it, as soon as it has
    for (const auto &[bytes, share] : use.more) {
        const double faults = std::clamp(share, 0.0, 1.0) * std::max(use.refaults_per_second, 0.0);
        if (bytes <= last.bytes) {
            continue;
        }
        if (last.bytes < unfilled) {
            const double part = static_cast<double>(std::min(bytes, unfilled) - last.bytes) /
                                static_cast<double>(bytes - last.bytes);
            had = {unfilled, last.faults + part * (faults - last.faults)};
        }
        if (bytes > unfilled) {
            gains.push_back({bytes - unfilled, std::max(0.0, faults - had.faults)});
        }
        last = {bytes, faults};
    }
    return gains;
}

std::vector<DramEffect> losses_of(const UseOfDram &use) {
    std::map<double, std::uint64_t, std::greater<>> bytes_of_age; // oldest, cheapest, first
    const std::uint64_t unfilled = unfilled_of(use);
    const std::uint64_t in_use = std::max(use.limit, use.used) - unfilled;
    std::uint64_t counted = 0;
    const auto count = [&](double seconds, std::uint64_t bytes) {
        bytes = std::min(bytes, in_use - counted);
        bytes_of_age[seconds] += bytes;
        counted += bytes;
    };
    if (use.watched) {
        std::uint64_t older = 0, older_tested = 0;
        for (std::size_t i = use.cold.size(); i-- > 0;) {
            const UseOfDram::Cold &cold = use.cold[i];
            const double younger = i > 0 ? use.cold[i - 1].seconds : kHotSeconds;
            const std::uint64_t bytes = cold.bytes - std::min(cold.bytes, older);
            const std::uint64_t tested =
                std::min(bytes, cold.tested - std::min(cold.tested, older_tested));
            std::uint64_t first = 0;
            if (i + 1 == use.cold.size()) { // at most as dear as the rest of that age
                first = std::min(tested, use.memory / kFirst);
                count(1 / std::clamp(first_rate(use), 1e-9, 1.0 / cold.seconds), first);
            }
            count(cold.seconds, tested - first);
            count(younger, bytes - tested);
            older = std::max(older, cold.bytes);
            older_tested = std::max(older_tested, cold.tested);
        }
        count(kHotSeconds, in_use);
    } else {
        count(kUnwatchedSeconds, in_use);
    }
    std::vector<DramEffect> losses;
    DramEffect sum{unfilled, 0};
    if (sum.bytes > 0) {
        losses.push_back(sum);
    }
    for (const auto &[seconds, bytes] : bytes_of_age) {
        if (bytes > 0) {
            sum.bytes += bytes;
            sum.faults += pages(bytes) / seconds * (use.idle ? kIdleDiscount : 1);
            losses.push_back(sum);
        }
    }
    return losses;
}

} // namespace tidemark::daemon
