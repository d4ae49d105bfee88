// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/parts.h"

#include <numeric>

namespace tidemark {

namespace {

double sum_of(const RegionParts::Split &split) {
    return std::accumulate(split.heat.begin(), split.heat.end(), 0.0);
}

bool uneven(const RegionParts::Split &split) {
    auto heat = split.heat;
    std::sort(heat.begin(), heat.end(), std::greater<>());
    const double half = std::accumulate(heat.begin(), heat.begin() + heat.size() / 2, 0.0);
    return half >= RegionParts::kUneven * sum_of(split);
}

} // namespace

RegionParts::RegionParts(std::uint32_t regions)
    : pool_(std::min<std::uint32_t>((regions + 7) / 8, kNone)), split_of_(regions, kNone),
      rest_(regions) {}

void RegionParts::used(std::uint32_t region, PageRun run, float weight) {
    if (split_of_[region] == kNone)
        return;
    Split &split = pool_[split_of_[region]];
    split.seen = std::min(split.seen + static_cast<float>(run.count), 1e6F);
    for (std::uint32_t at = run.first.value; at < run.end().value;) {
        const std::uint32_t part = at / kPartPages;
        const std::uint32_t end = std::min(run.end().value, (part + 1) * kPartPages);
        split.heat[part] += static_cast<float>(end - at) * weight;
        at = end;
    }
}

void RegionParts::scale(float factor) {
    for (Split &split : pool_)
        for (float &heat : split.heat)
            heat *= factor;
}

void RegionParts::unite(Split &split, std::uint8_t rest) {
    split_of_[split.region] = kNone;
    rest_[split.region] = rest;
    split = Split{};
    --live_;
}

void RegionParts::tick(double now, const std::function<double(std::uint32_t)> &heat,
                       const HalfLife &life) {
    if (now - reviewed_ < kReview)
        return;
    reviewed_ = now;
    for (Split &split : pool_) {
        if (!split.live)
            continue;
        if (heat(split.region) < kWarm || life.of(sum_of(split)) <= 0)
            unite(split, 0);
        else if (split.seen >= kEvidence && !uneven(split))
            unite(split, kRest);
    }
    const auto regions = static_cast<std::uint32_t>(split_of_.size());
    double sum = 0;
    std::uint32_t warm = 0;
    for (std::uint32_t r = 0; r < regions; ++r) {
        rest_[r] = static_cast<std::uint8_t>(rest_[r] - (rest_[r] != 0 ? 1 : 0));
        if (heat(r) >= kWarm) {
            sum += heat(r);
            ++warm;
        }
    }
    if (warm == 0)
        return;
    const double mean = sum / warm;
    std::uint32_t place = 0;
    for (std::uint32_t seen = 0; seen < regions && live_ < pool(); ++seen) {
        const std::uint32_t r = hand_;
        hand_ = hand_ + 1 < regions ? hand_ + 1 : 0;
        // A little below the mean, or regions that are all alike would hang on rounding.
        if (split_of_[r] != kNone || rest_[r] != 0 || heat(r) < std::max(kWarm, 0.99 * mean))
            continue;
        while (pool_[place].live)
            ++place;
        pool_[place].region = r;
        pool_[place].live = true;
        split_of_[r] = static_cast<std::uint16_t>(place);
        ++live_;
    }
}

double RegionParts::share_per_page(std::uint32_t region, std::uint32_t page,
                                   std::uint32_t pages) const {
    const Split *split = of(region);
    if (split == nullptr || split->seen < kEvidence || sum_of(*split) <= 0)
        return 1.0 / pages;
    const std::uint32_t part = page / kPartPages;
    const std::uint32_t in_part = std::min(kPartPages, pages - part * kPartPages);
    return split->heat[part] / sum_of(*split) / in_part;
}

} // namespace tidemark
