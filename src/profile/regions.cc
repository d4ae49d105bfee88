// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/regions.h"

#include <algorithm>

namespace tidemark {

namespace {
std::uint16_t added(std::uint16_t to, std::uint32_t pages) {
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(to + pages, UINT16_MAX));
}
// act(region, run within it, counted from its start) for each region of a run.
template <typename Act> void each_region(PageRun run, Act act) {
    for (std::uint32_t at = run.first.value; at < run.end().value;) {
        const std::uint32_t r = at / kRegionPages;
        const std::uint32_t end = std::min(run.end().value, (r + 1) * kRegionPages);
        act(r, PageRun{PageIndex{at % kRegionPages}, end - at});
        at = end;
    }
}

} // namespace

Regions::Regions(std::uint32_t pages)
    : pages_(pages), regions_((pages + kRegionPages - 1) / kRegionPages), window_(regions_.size()),
      parts_(static_cast<std::uint32_t>(regions_.size())) {}

void Regions::used(PageRun run) {
    const auto weight = static_cast<float>(life_.weight());
    each_region(run, [this, weight](std::uint32_t r, PageRun part) {
        const auto count = static_cast<float>(part.count);
        regions_[r].heat += count * weight;
        regions_[r].used_at = second_;
        window_[r] += count;
        parts_.used(r, part, weight);
    });
}

void Regions::returned(PageRun run) {
    each_region(run, [this](std::uint32_t r, PageRun part) {
        regions_[r].returned = added(regions_[r].returned, part.count);
    });
}

void Regions::left(PageRun run) {
    each_region(run, [this](std::uint32_t r, PageRun part) {
        regions_[r].left = added(regions_[r].left, part.count);
    });
}

void Regions::reported(std::uint32_t r, std::uint32_t pages) {
    if (r >= regions_.size() || pages == 0)
        return;
    Region &region = regions_[r];
    pages = std::min({pages, kRegionPages, pages_ - r * kRegionPages});
    // Which pages is not known, and faults may have shown some of them already: so never the sum.
    region.heat = std::max(region.heat, static_cast<float>(pages * life_.weight()));
    window_[r] = std::max(window_[r], static_cast<float>(pages));
    region.used_at = second_;
    const bool same_second = region.reported_at == second_;
    region.reported = std::max(static_cast<std::uint16_t>(pages),
                               same_second ? region.reported : std::uint16_t{0});
    region.reported_at = second_;
}

void Regions::learn(Region &region, std::uint16_t staged_before) {
    const int began = region.staged - staged_before + region.returned + region.left;
    if (began <= 0 && region.returned == 0 && region.left == 0)
        return;
    const auto weight = static_cast<float>(life_.weight());
    region.tested += static_cast<float>(std::max(0, began)) * weight;
    region.passed += static_cast<float>(region.returned) * weight;
    const double share = std::min(1.0, life_.of(region.passed) / (life_.of(region.tested) + 1));
    region.share = static_cast<std::uint8_t>(share * 255);
    region.tested_at = second_;
    region.known = true;
    if (region.returned != 0)
        region.heat = std::max(region.heat, static_cast<float>(share * region.resident) * weight);
    region.returned = region.left = 0;
}

void Regions::tick(double now, const Residency &residency) {
    second_ = static_cast<std::uint32_t>(std::min(now, 4e9));
    if (const double factor = life_.advance(now); factor != 1) {
        for (Region &region : regions_)
            for (float *sum : {&region.heat, &region.tested, &region.passed})
                *sum *= static_cast<float>(factor);
        parts_.scale(static_cast<float>(factor));
    }
    for (std::size_t r = 0; r < regions_.size(); ++r) {
        Region &region = regions_[r];
        const std::uint16_t staged_before = region.staged;
        region.resident = r < residency.resident.size() ? residency.resident[r] : 0;
        region.staged = r < residency.staged.size() ? residency.staged[r] : 0;
        learn(region, staged_before);
    }
    parts_.tick(
        now, [this](std::uint32_t r) { return heat(r); }, life_);
}

double Regions::heat_per_page(PageIndex page) const {
    const std::uint32_t r = page.value / kRegionPages;
    const std::uint32_t in_region = std::min(kRegionPages, pages_ - r * kRegionPages);
    return heat(r) * parts_.share_per_page(r, page.value % kRegionPages, in_region);
}

ColdSet Regions::cold(std::uint32_t seconds) const {
    ColdSet set{seconds, 0, 0};
    for (const Region &region : regions_) {
        if (second_ - region.used_at < seconds)
            continue;
        set.pages += std::uint64_t{region.resident} + region.staged;
        if (region.staged != 0)
            set.tested_pages += std::uint64_t{region.resident} + region.staged;
    }
    return set;
}

std::size_t Regions::bytes() const {
    return regions_.capacity() * sizeof(Region) + window_.capacity() * sizeof(float) +
           parts_.bytes();
}

} // namespace tidemark
