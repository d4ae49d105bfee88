// SPDX-License-Identifier: GPL-2.0-or-later
//
// What happens to a staged page that stays cold.
//
//   writing --all zero--------------------> zero    no I/O, no slot
//           --same bytes as its slot------> stored  no I/O
//           --written to NVMe, else QLC---> stored
//           --no tier took it-------------> staged  stays in DRAM, the tier is degraded
//           --refaulted meanwhile---------> (resident) the new copy is kept: its checksum tells what it is
//
// Only the evictor thread runs this. The bytes are read from S, which nothing writes. A few batches
// are in flight at a time, so that the disk has work while the next batch is looked at:
//
//   take_staged() -> inspect() -> start_writes() (placement.cc) ... finish_writes() -> settle()
//                                                                     |-- what failed: write_elsewhere()
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>

namespace tidemark {

namespace {
constexpr std::size_t kBatchesInFlight = 4;
constexpr auto kProbeInterval = std::chrono::seconds(1);
} // namespace

std::vector<WriteItem> Backend::take_staged(PageQueue &queue, std::uint16_t min_age) {
    std::vector<WriteItem> items;
    const std::uint16_t now = coarse_now();
    while (items.size() < kRegionPages && !queue.empty()) {
        const PageIndex page = queue.front();
        // A page that was refaulted and staged again is in the queue twice; once is enough.
        const PageEntry &entry = table_[page];
        const bool staged = entry.state == PageState::staged;
        if (staged && min_age != 0 && age_of(entry, now) < min_age)
            break;
        queue.pop_front();
        if (!staged)
            continue;
        table_.set_state(page, PageState::writing);
        items.emplace_back();
        items.back().page = page;
        items.back().stored_checksum = entry.checksum;
        items.back().own_slot = entry.slot;
        items.back().tier = static_cast<std::uint8_t>(entry.tier());
    }
    std::sort(items.begin(), items.end(),
              [](const WriteItem &a, const WriteItem &b) { return a.page < b.page; });
    return items;
}

// What has been staged for min_age or longer. True if pages left DRAM meanwhile. What it starts is finished later.
bool Backend::clean_some(std::uint16_t min_age) {
    bool progress = finish_writes(writes_.size() >= kBatchesInFlight);
    auto batch = std::make_unique<WriteBatch>();
    bool dense = false;
    {
        MutexLock lock(mutex_);
        PageQueue *const placed =
            min_age != 0 ? nullptr : placing_.next(free_pages() < reserve_high_);
        dense = placed == &placing_.dense;
        batch->items = take_staged(placed != nullptr ? *placed : staged_queue_, min_age);
    }
    if (batch->items.empty())
        return progress;
    progress = inspect(*batch) || progress;
    if (batch->items.empty())
        return progress;
    batch->forced = min_age == 0;
    const std::size_t qlc = tier_of_class(TierClass::qlc);
    const std::size_t tier =
        dense && qlc < tiers_.size() && tier_usable(qlc) ? qlc : tier_for(batch->forced);
    if (tier != tiers_.size())
        start_writes(*batch, tier);
    writes_.push_back(std::move(batch));
    return finish_writes(false) || progress;
}

// Zero and unchanged pages leave at once, and leave the batch.
bool Backend::inspect(WriteBatch &batch) {
    for (WriteItem &item : batch.items) {
        const std::byte *bytes = memory_->shadow(item.page);
        if (page_is_zero(bytes)) {
            item.outcome = WriteItem::Outcome::zero;
            continue;
        }
        item.checksum = page_checksum(bytes);
        if (item.checksum == item.stored_checksum)
            item.outcome = WriteItem::Outcome::clean;
    }
    const auto kept =
        std::stable_partition(batch.items.begin(), batch.items.end(), [](const WriteItem &item) {
            return item.outcome == WriteItem::Outcome::failed;
        });
    const auto split = static_cast<std::size_t>(kept - batch.items.begin());
    const bool progress = settle(std::span(batch.items).subspan(split));
    batch.items.resize(split);
    return progress;
}

// Takes in what the disks have finished; with `wait`, until one batch at least is done with. True if
// pages left DRAM.
bool Backend::finish_writes(bool wait) {
    bool done = false, progress = false;
    while (!writes_.empty()) {
        for (const auto &queue : write_queues_)
            while (IoRequest *request = queue->try_one())
                finish_write(*request);
        // In order of their age, so that pages become free in the order they were chosen.
        while (!writes_.empty() && writes_.front()->pending == 0) {
            const auto batch = std::move(writes_.front());
            writes_.pop_front();
            write_elsewhere(*batch);
            progress = settle(batch->items) || progress;
            done = true;
        }
        if (!wait || done)
            break;
        if (IoRequest *request = write_queues_[writes_.front()->tier]->wait_one())
            finish_write(*request);
    }
    return progress;
}

void Backend::finish_write(IoRequest &request) {
    WriteBatch &batch = *reinterpret_cast<WriteBatch *>(request.tag);
    const WritePiece &piece =
        batch.pieces[static_cast<std::size_t>(&request - batch.requests.data())];
    Tier &tier = *tiers_[batch.tier];
    --batch.pending;
    const std::uint64_t length = request.length();
    const auto items = std::span(batch.items).subspan(piece.first, piece.count);
    if (request.result != static_cast<std::int64_t>(length)) {
        tier_failed(batch.tier, request.result < 0 ? static_cast<int>(-request.result) : EIO);
        if (!piece.in_place) {
            tier.release(piece.run);
            return;
        }
        // What the slots hold now nobody knows. The page table must not point there any longer.
        MutexLock lock(mutex_);
        for (WriteItem &item : items) {
            release_slot(item.page);
            item.own_slot = Slot{};
        }
        return;
    }
    tier.counters().count_write(length);
    tier_worked(batch.tier);
    for (std::uint32_t i = 0; i < piece.run.count; ++i) {
        const Slot slot{piece.run.first.value + i};
        if (i >= piece.count) {
            tier.release(slot);
            continue;
        }
        items[i].slot = slot;
        items[i].tier = static_cast<std::uint8_t>(batch.tier);
        items[i].outcome = WriteItem::Outcome::written;
    }
}

// What found no room or failed tries every tier in turn, one after the other: but for what need not be written, those
// whose budget is used up.
void Backend::write_elsewhere(WriteBatch &batch) {
    const auto unwritten = [&batch] {
        return std::any_of(batch.items.begin(), batch.items.end(), [](const WriteItem &item) {
            return item.outcome == WriteItem::Outcome::failed;
        });
    };
    // Slots kept by resident pages are only a saving; when the tiers are full they go first.
    for (int pass = 0; pass < 2; ++pass) {
        bool tried = false;
        for (const std::size_t tier : tier_order_) {
            if (!unwritten())
                return;
            if (!tier_usable(tier) || !(batch.forced || tiers_[tier]->within_budget(today())))
                continue;
            tried = true;
            write_rest(batch, tier);
        }
        if (!tried || !unwritten() || reclaim_clean_slots(kRegionPages) == 0)
            return;
    }
}

// The failed items of a batch, written to one tier before this returns.
void Backend::write_rest(WriteBatch &batch, std::size_t tier) {
    WriteBatch rest;
    const auto failed =
        std::stable_partition(batch.items.begin(), batch.items.end(), [](const WriteItem &item) {
            return item.outcome != WriteItem::Outcome::failed;
        });
    rest.items.assign(failed, batch.items.end());
    batch.items.erase(failed, batch.items.end());
    start_writes(rest, tier);
    while (rest.pending != 0) {
        // Other batches may be in flight on this queue: each request knows its own.
        IoRequest *request = write_queues_[tier]->wait_one();
        TIDEMARK_CHECK(request != nullptr);
        finish_write(*request);
    }
    batch.items.insert(batch.items.end(), rest.items.begin(), rest.items.end());
}

// Ends the transit of each item. True if one of them is no longer in DRAM for us to write.
bool Backend::settle(std::span<const WriteItem> items) {
    using Outcome = WriteItem::Outcome;
    if (items.empty())
        return false;
    MutexLock lock(mutex_);
    bool progress = false;
    const std::uint16_t now = coarse_now();
    const std::uint32_t ms = log_time();
    for (const WriteItem &item : items) {
        PageEntry &entry = table_[item.page];
        const bool still = entry.state == PageState::writing;
        if (item.outcome == Outcome::written) {
            if (entry.slot != item.slot || entry.tier() != item.tier)
                release_slot(item.page); // its old bytes
            entry.slot = item.slot;
            entry.set_tier(item.tier);
            entry.checksum = item.checksum;
        }
        if (!still) {
            // Refaulted while it was written. Whoever of us and who serves the fault needs S last gives it up.
            if (entry.has(page_flags::shadow_reading))
                entry.clear(page_flags::shadow_busy);
            else
                retire_shadow(item.page);
            if (transit_waiters_ != 0)
                transit_done_.notify_all();
            progress = true;
            continue;
        }
        if (item.outcome == Outcome::failed) {
            finish(item.page, PageState::staged, now);
            staged_queue_.push_back(item.page);
            continue;
        }
        progress = true;
        ++counters_.evicted_pages;
        if (item.outcome == Outcome::zero) {
            ++counters_.zero_elided;
            release_slot(item.page);
        } else if (item.outcome == Outcome::clean) {
            ++counters_.clean_elided;
        }
        log_leaving(item.page, ms);
        retire_shadow(item.page);
        finish(item.page, item.outcome == Outcome::zero ? PageState::zero : PageState::stored, now);
    }
    return progress;
}

// A degraded tier is tried again now and then: a full file system may have room, a path may be back.
bool Backend::tier_usable(std::size_t tier) {
    return !tiers_[tier]->degraded || Clock::now() - tier_failed_at_[tier] > kProbeInterval;
}

// The fastest tier that takes something now, or tiers_.size(). What need not be written is for tiers whose budget is
// not used up; it is passed by a batch at most, as what is under way counts.
std::size_t Backend::tier_for(bool forced) {
    for (const std::size_t tier : tier_order_) {
        std::uint64_t under_way = 0;
        for (const auto &batch : writes_)
            under_way += batch->tier == tier ? bytes_of(batch->items.size()) : 0;
        if (tier_usable(tier) && (forced || tiers_[tier]->within_budget(today(), under_way)))
            return tier;
    }
    return tiers_.size();
}

void Backend::tier_failed(std::size_t tier, int error) {
    ++tiers_[tier]->counters().write_errors;
    tier_failed_at_[tier] = Clock::now();
    tier_degraded(tier, error);
}

void Backend::tier_degraded(std::size_t tier, int error) {
    if (tiers_[tier]->degraded.exchange(true))
        return;
    MutexLock lock(mutex_);
    post({EventKind::tier_degraded, static_cast<std::uint32_t>(tier), {}, error});
}

void Backend::tier_worked(std::size_t tier) {
    if (!tiers_[tier]->degraded.exchange(false))
        return;
    MutexLock lock(mutex_);
    post({EventKind::tier_recovered, static_cast<std::uint32_t>(tier), {}, 0});
}

std::uint32_t Backend::reclaim_clean_slots(std::uint32_t want) {
    MutexLock lock(mutex_);
    std::uint32_t found = 0;
    for (std::uint32_t seen = 0; seen < pages_ && found < want; ++seen) {
        const PageIndex page = reclaim_hand_;
        reclaim_hand_ = page.value + 1 < pages_ ? page.next() : PageIndex{0};
        const PageEntry &entry = table_[page];
        // A busy shadow may be on its way into that very slot.
        if (entry.state != PageState::resident || !entry.slot.valid() ||
            entry.has(page_flags::shadow_busy))
            continue;
        release_slot(page);
        ++found;
    }
    return found;
}

} // namespace tidemark
