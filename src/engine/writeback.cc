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
// Only the evictor thread runs this. The bytes are read from S, which nothing writes.
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>

namespace tidemark {

namespace {
constexpr std::uint32_t kBatch = 64;
constexpr auto kProbeInterval = std::chrono::seconds(1);
alignas(kPageSize) std::array<std::byte, kPageSize> g_zero_page{};

// A write of `items` (in order) to consecutive slots, from wherever in S they are.
IoRequest request_for(GuestMemory &memory, SlotRun run, std::span<const PageIndex> pages) {
    IoRequest request;
    request.write = true;
    request.offset = run.first.byte_offset();
    for (const PageIndex page : pages) {
        // The request only reads; iovec has no const.
        auto *bytes = const_cast<std::byte *>(memory.shadow(page));
        if (!request.parts.empty() && static_cast<std::byte *>(request.parts.back().iov_base) +
                                              request.parts.back().iov_len ==
                                          bytes)
            request.parts.back().iov_len += kPageSize;
        else
            request.parts.push_back({bytes, kPageSize});
    }
    for (std::size_t i = pages.size(); i < run.count; ++i)
        request.parts.push_back({g_zero_page.data(), kPageSize}); // a QLC segment is written whole
    return request;
}
} // namespace

std::vector<Backend::WriteItem> Backend::take_staged() {
    std::vector<WriteItem> items;
    while (items.size() < kBatch && !staged_queue_.empty()) {
        const PageIndex page = staged_queue_.front();
        staged_queue_.pop_front();
        // A page that was refaulted and staged again is in the queue twice; once is enough.
        if (table_[page].state != PageState::staged)
            continue;
        table_.set_state(page, PageState::writing);
        items.emplace_back();
        items.back().page = page;
        items.back().stored_checksum = table_[page].checksum;
    }
    std::sort(items.begin(), items.end(),
              [](const WriteItem &a, const WriteItem &b) { return a.page < b.page; });
    return items;
}

bool Backend::clean_some() {
    std::vector<WriteItem> items;
    {
        MutexLock lock(mutex_);
        items = take_staged();
    }
    std::vector<WriteItem *> to_write;
    for (WriteItem &item : items) {
        const std::byte *bytes = memory_->shadow(item.page);
        if (page_is_zero(bytes)) {
            item.outcome = WriteItem::Outcome::zero;
            continue;
        }
        item.checksum = page_checksum(bytes);
        if (item.checksum == item.stored_checksum)
            item.outcome = WriteItem::Outcome::clean;
        else
            to_write.push_back(&item);
    }
    if (!to_write.empty())
        write_items(std::move(to_write));
    return settle_written(items);
}

void Backend::write_items(std::vector<WriteItem *> items) {
    const auto unwritten = [&items] {
        std::erase_if(items, [](const WriteItem *item) {
            return item->outcome == WriteItem::Outcome::written;
        });
        return !items.empty();
    };
    // Slots kept by resident pages are only a saving; when the tiers are full they go first.
    for (int pass = 0; pass < 2; ++pass) {
        for (const std::size_t tier : tier_order_) {
            if (!unwritten())
                return;
            if (tier_usable(tier))
                write_to_tier(tier, items);
        }
        if (!unwritten() || reclaim_clean_slots(4 * kBatch) == 0)
            return;
    }
}

void Backend::write_to_tier(std::size_t index, std::span<WriteItem *const> items) {
    Tier &tier = *tiers_[index];
    struct Piece {
        SlotRun run;
        std::size_t first, count;
    };
    std::vector<Piece> pieces;
    std::vector<IoRequest> requests;
    pieces.reserve(items.size());
    requests.reserve(items.size());
    Slot hint;
    for (std::size_t first = 0; first < items.size();) {
        const bool segments = tier.tier_class() == TierClass::qlc;
        const auto left = static_cast<std::uint32_t>(items.size() - first);
        const auto run = tier.allocate(segments ? kSegmentPages : left, hint);
        if (!run)
            break;
        const std::size_t count = std::min<std::size_t>(left, run->count);
        std::vector<PageIndex> pages;
        for (std::size_t i = first; i < first + count; ++i)
            pages.push_back(items[i]->page);
        pieces.push_back({*run, first, count});
        requests.push_back(request_for(*memory_, *run, pages));
        requests.back().tag = pieces.size() - 1;
        hint = Slot{run->first.value + run->count};
        first += count;
    }
    std::vector<IoRequest *> started;
    for (IoRequest &request : requests)
        started.push_back(&request);
    write_queues_[index]->submit(started);
    while (const IoRequest *request = write_queues_[index]->wait_one()) {
        const Piece &piece = pieces[request->tag];
        const std::uint64_t length = request->length();
        if (request->result != static_cast<std::int64_t>(length)) {
            tier.release(piece.run);
            tier_failed(index, request->result < 0 ? static_cast<int>(-request->result) : EIO);
            continue;
        }
        tier.counters().written_bytes += length;
        tier.counters().count_write(length);
        tier_worked(index);
        for (std::size_t i = 0; i < piece.run.count; ++i) {
            const Slot slot{piece.run.first.value + static_cast<std::uint32_t>(i)};
            if (i >= piece.count) {
                tier.release(slot);
                continue;
            }
            WriteItem &item = *items[piece.first + i];
            item.slot = slot;
            item.tier = static_cast<std::uint8_t>(index);
            item.outcome = WriteItem::Outcome::written;
        }
    }
}

// A degraded tier is tried again now and then: a full file system may have room, a path may be back.
bool Backend::tier_usable(std::size_t tier) {
    return !tiers_[tier]->degraded || Clock::now() - tier_failed_at_[tier] > kProbeInterval;
}

void Backend::tier_failed(std::size_t tier, int error) {
    ++tiers_[tier]->counters().write_errors;
    tier_failed_at_[tier] = Clock::now();
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

bool Backend::settle_written(std::span<const WriteItem> items) {
    using Outcome = WriteItem::Outcome;
    MutexLock lock(mutex_);
    bool progress = false;
    for (const WriteItem &item : items) {
        PageEntry &entry = table_[item.page];
        const bool still = entry.state == PageState::writing;
        if (item.outcome == Outcome::written) {
            release_slot(item.page); // its old bytes
            entry.slot = item.slot;
            entry.set_tier(item.tier);
            entry.checksum = item.checksum;
        }
        if (!still) {
            // Refaulted while it was written. Whoever of us and the handler needs S last gives it up.
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
            finish(item.page, PageState::staged);
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
        entry.clear(page_flags::unasked);
        retire_shadow(item.page);
        finish(item.page, item.outcome == Outcome::zero ? PageState::zero : PageState::stored);
    }
    return progress;
}

std::uint32_t Backend::reclaim_clean_slots(std::uint32_t want) {
    MutexLock lock(mutex_);
    std::uint32_t found = 0;
    for (std::uint32_t seen = 0; seen < pages_ && found < want; ++seen) {
        const PageIndex page = reclaim_hand_;
        reclaim_hand_ = page.value + 1 < pages_ ? page.next() : PageIndex{0};
        if (table_[page].state != PageState::resident || !table_[page].slot.valid())
            continue;
        release_slot(page);
        ++found;
    }
    return found;
}

} // namespace tidemark
