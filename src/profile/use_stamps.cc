// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/use_stamps.h"

#include <algorithm>
#include <cmath>

namespace tidemark {

void UseStamps::tick(double now) {
    now_ = now;
    stamp_ = static_cast<std::uint16_t>(std::fmod(std::floor(now), double{kWrap}) + 1);
    const double elapsed = now - swept_;
    if (elapsed >= kRound) { // nothing was used since: all of it is out of every window
        std::fill(stamps_.begin(), stamps_.end(), kLongAgo);
        swept_ = now;
        return;
    }
    const auto step =
        static_cast<std::size_t>(static_cast<double>(stamps_.size()) * elapsed / kRound);
    if (step == 0)
        return;
    swept_ = now;
    for (std::size_t i = 0; i <= step; ++i) {
        if (stamps_[hand_] != kLongAgo && age_of(stamps_[hand_]) >= kWindows.back())
            stamps_[hand_] = kLongAgo;
        hand_ = hand_ + 1 < stamps_.size() ? hand_ + 1 : 0;
    }
}

std::array<WorkingSetSize, 3> UseStamps::sizes(const Regions &regions) const {
    std::array<WorkingSetSize, 3> sizes{};
    for (std::size_t w = 0; w < kWindows.size(); ++w)
        sizes[w].seconds = kWindows[w];
    constexpr std::uint32_t groups_of_region = kRegionPages / kGroup;
    for (std::uint32_t r = 0; r < regions.size(); ++r) {
        const Region &region = regions[r];
        std::array<std::uint32_t, 3> seen{};
        const std::uint32_t end = std::min((r + 1) * groups_of_region, sample_.groups());
        for (std::uint32_t g = r * groups_of_region; g < end; ++g) {
            if (stamps_[g] == kLongAgo)
                continue;
            const std::uint32_t age = age_of(stamps_[g]);
            for (std::size_t w = 0; w < kWindows.size(); ++w)
                seen[w] += age < kWindows[w] ? sample_.stands_for(g) : 0;
        }
        for (std::size_t w = 0; w < kWindows.size(); ++w) {
            const auto within = [&](std::uint32_t second) {
                return regions.second() - second < kWindows[w];
            };
            if (region.reported != 0 && within(region.reported_at))
                seen[w] = std::max(seen[w], std::uint32_t{region.reported});
            const std::uint32_t unseen =
                region.resident - std::min<std::uint32_t>(region.resident, seen[w]);
            sizes[w].seen_pages += seen[w];
            sizes[w].estimate_pages += seen[w];
            if (region.known && within(region.tested_at))
                sizes[w].estimate_pages += unseen * std::uint32_t{region.share} / 255;
            else if (region.staged == 0)
                sizes[w].untested_pages += unseen;
        }
    }
    return sizes;
}

} // namespace tidemark
