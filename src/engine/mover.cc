// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pages that change place without the guest asking: demotion NVMe -> QLC by age and by fill, promotion
// on request (prefetch), and compaction of QLC segments that are mostly dead.
//
// relocate() is the rule for all tier-to-tier moves: take the pages into transit, read and verify
// them, write them elsewhere, switch the slot. The old slot is released last, so the bytes are never
// nowhere; if anything fails the page stays where it was.
#include "engine/backend.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

namespace tidemark {

namespace {
constexpr std::uint32_t kSweep = 65536;
constexpr std::uint32_t kSparse = kSegmentPages / 2; // a segment with fewer live pages is compacted
} // namespace

void Backend::mover_main(Loader &loader) {
    for (bool more = false;;) {
        {
            MutexLock lock(mutex_);
            if (!more && !stopping_ && prefetch_queue_.empty())
                mover_work_.wait_for(mutex_, std::chrono::milliseconds(250));
            if (stopping_)
                return;
        }
        more = serve_prefetch(loader);
        more = demote_some(loader) || more;
        more = compact_some(loader) || more;
        deliver_events();
    }
}

std::size_t Backend::tier_of_class(TierClass tier_class) const {
    for (std::size_t i = 0; i < tiers_.size(); ++i)
        if (tiers_[i]->tier_class() == tier_class)
            return i;
    return tiers_.size();
}

bool Backend::over_watermark(std::size_t tier) const {
    return tiers_[tier]->used_slots() > tiers_[tier]->capacity_slots() / 8 * 7;
}

bool Backend::demote_some(Loader &loader) {
    const std::size_t nvme = tier_of_class(TierClass::nvme);
    const std::size_t qlc = tier_of_class(TierClass::qlc);
    if (nvme == tiers_.size() || qlc == tiers_.size() || tiers_[qlc]->degraded)
        return false;
    if (!over_watermark(nvme) && !tiers_[qlc]->within_budget(today()))
        return false;
    {
        MutexLock lock(mutex_);
        const auto cold = static_cast<std::uint16_t>(
            std::max<std::int64_t>(1, std::chrono::seconds(config_.cold_age) / kStampUnit));
        if (!over_watermark(nvme))
            demote_age_ = cold;
        demote_age_ = std::min(demote_age_, cold);
        if (!collect_cold(loader, nvme, demote_age_)) {
            // Too full and nothing old enough: what is old enough gets younger.
            const bool hurry = over_watermark(nvme) && demote_age_ != 0;
            demote_age_ = static_cast<std::uint16_t>(demote_age_ / 2);
            return hurry;
        }
    }
    const std::size_t moved = relocate(loader, qlc);
    MutexLock lock(mutex_);
    counters_.demoted_pages += moved;
    return moved != 0;
}

// A whole segment's worth of pages of tier `from` that have not moved for min_age, or none at all:
// QLC is written in whole segments.
bool Backend::collect_cold(Loader &loader, std::size_t from, std::uint16_t min_age) {
    std::vector<PageIndex> pages;
    const std::uint16_t now = coarse_now();
    for (std::uint32_t seen = 0; seen < std::min(pages_, kSweep) && pages.size() < kSegmentPages;
         ++seen) {
        const PageIndex page = demote_hand_;
        demote_hand_ = page.value + 1 < pages_ ? page.next() : PageIndex{0};
        const PageEntry &entry = table_[page];
        if (entry.state == PageState::stored && entry.tier() == from &&
            static_cast<std::uint16_t>(now - entry.stamp) >= min_age)
            pages.push_back(page);
    }
    if (pages.size() < kSegmentPages)
        return false;
    std::sort(pages.begin(), pages.end());
    loader.items.clear();
    for (const PageIndex page : pages)
        add_load(page, loader, Origin::guest);
    return true;
}

// Segments of QLC that are mostly dead are emptied into new ones when little room is left.
bool Backend::compact_some(Loader &loader) {
    const std::size_t qlc = tier_of_class(TierClass::qlc);
    if (qlc == tiers_.size() || !over_watermark(qlc) || tiers_[qlc]->degraded)
        return false;
    std::unordered_set<std::uint32_t> segments;
    for (const SlotRun run : tiers_[qlc]->sparse_segments(kSparse, 8))
        segments.insert(run.first.value / kSegmentPages);
    if (segments.size() < 2)
        return false;
    {
        MutexLock lock(mutex_);
        loader.items.clear();
        for (std::uint32_t i = 0; i < pages_ && loader.items.size() < kSegmentPages; ++i) {
            const PageEntry &entry = table_[PageIndex{i}];
            if (!entry.slot.valid() || entry.tier() != qlc ||
                !segments.contains(entry.slot.value / kSegmentPages))
                continue;
            if (entry.state == PageState::stored)
                add_load(PageIndex{i}, loader, Origin::guest);
            else if (entry.state == PageState::resident)
                release_slot(PageIndex{i}); // a spare copy is not worth moving
        }
        if (loader.items.empty())
            return false;
    }
    return relocate(loader, qlc) != 0;
}

// Moves loader.items (state loading) to slots of tier `to`. Returns how many moved; the others are
// stored where they were.
std::size_t Backend::relocate(Loader &loader, std::size_t to) {
    loader.read(false, [](std::size_t, std::size_t) {});
    std::size_t good = 0;
    std::vector<LoadItem> failed;
    for (std::size_t i = 0; i < loader.items.size(); ++i) {
        if (loader.items[i].error != 0) {
            failed.push_back(loader.items[i]); // the fault that needs it will tell
            continue;
        }
        if (good != i) {
            std::memmove(loader.page_bytes(good), loader.page_bytes(i), kPageSize);
            loader.items[good] = loader.items[i];
        }
        ++good;
    }
    loader.items.resize(good);
    std::vector<Slot> slots;
    const std::size_t written = good == 0 ? 0 : write_relocated(loader, to, slots);
    MutexLock lock(mutex_);
    const std::uint16_t now = coarse_now();
    for (std::size_t i = 0; i < good; ++i) {
        const PageIndex page = loader.items[i].page;
        if (i < written) {
            release_slot(page);
            table_[page].slot = slots[i];
            table_[page].set_tier(to);
            table_[page].checksum = loader.items[i].checksum;
        }
        finish(page, PageState::stored, now);
    }
    for (const LoadItem &item : failed)
        finish(item.page, PageState::stored, now);
    return written;
}

// Writes the first pages of the buffer to new slots; returns for how many there was room.
std::size_t Backend::write_relocated(Loader &loader, std::size_t to, std::vector<Slot> &slots) {
    Tier &tier = *tiers_[to];
    const bool segments = tier.tier_class() == TierClass::qlc;
    const auto want = segments ? kSegmentPages : static_cast<std::uint32_t>(loader.items.size());
    const auto run = tier.allocate(want, Slot{});
    if (!run)
        return 0;
    const std::size_t count = std::min<std::size_t>(run->count, loader.items.size());
    if (const int error = loader.write(to, *run, count); error != 0) {
        tier.release(*run);
        tier_degraded(to, error);
        return 0;
    }
    for (std::uint32_t i = 0; i < run->count; ++i) {
        const Slot slot{run->first.value + i};
        if (i < count)
            slots.push_back(slot);
        else
            tier.release(slot);
    }
    return count;
}

} // namespace tidemark
