// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading ahead of a guest that walks through its memory.
//
//   faults --streams_.look()--> read-ahead on the fault itself   (fault_service.cc)
//          --request_ahead()--> whole regions of 2 MiB, by the ahead thread:
//
//   idle --plan_ahead()--> reading --all in, verified--> ready --first access--> landing --> idle
//                             |                            +--unused for a while--> idle
//                             +--a fault waits already--> landing
//
// (arrival.cc has what happens between reading and idle.)
//
// Invariants
//  - A page of an Arrival that is being read is `loading` (or `filling`: it holds zeros); in phase ready
//    it is `arrived`; in phase landing `filling` or `loading`. No two arrivals have the same region.
//  - An arrival is charged with the 2 MiB its bytes are in, and with as many pages again as it would
//    copy if it can't be moved in one piece. An idle one keeps the former only if frame_filled.
//  - Nothing is mapped before the guest comes to the region: that first fault tells how far it is, and
//    costs one UFFDIO_MOVE of a huge page.
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>

namespace tidemark {

namespace {
constexpr std::uint32_t kWorthReading = 32; // stored pages that make a region worth a read
constexpr auto kUnused = std::chrono::milliseconds(300);
constexpr int kUniteAtOnce =
    8; // regions that get their huge page back, each time nothing is to be read
constexpr auto kIdle = std::chrono::milliseconds(100);
} // namespace

// Regions from `from` on are wanted soon. Walks side by side share what may be read ahead, or the first to ask would have
// all of it, and ask again as soon as a part is free.
void Backend::request_ahead(PageIndex from) {
    const std::size_t all =
        std::min<std::size_t>(arrivals_.size(), limit_pages_ / 16 / kRegionPages);
    const std::size_t share =
        std::max<std::size_t>(all / std::max<std::size_t>(streams_.walks(), 1), 1);
    const auto busy = [this]() TIDEMARK_REQUIRES(mutex_) {
        return static_cast<std::size_t>(
            std::count_if(arrivals_.begin(), arrivals_.end(), [](const auto &arrival) {
                return arrival->phase != Arrival::Phase::idle;
            }));
    };
    // A region for each walk may be more than that, but not twice as much.
    for (std::size_t k = 0; k < share && busy() < 2 * all && from.value < pages_; ++k) {
        if (find_arrival(from) == nullptr)
            plan_ahead(table_.region_run(from));
        from = from.next(kRegionPages);
    }
}

// Takes the region's pages into transit for the ahead thread, if that is worth it and there is room.
void Backend::plan_ahead(PageRun region) {
    std::uint32_t stored = 0, zero = 0;
    for (PageIndex page = region.first; page < region.end(); page = page.next()) {
        const PageState state = table_[page].state;
        stored += state == PageState::stored ? 1 : 0;
        zero += state == PageState::zero || state == PageState::untouched ? 1 : 0;
    }
    Arrival *const arrival = idle_arrival();
    if (stopping_ || stored < kWorthReading || arrival == nullptr)
        return;
    // Few zero pages among the others are taken along, for the sake of a huge page.
    const bool whole =
        stored + zero == kRegionPages && zero <= kRegionPages / 8 && memory_->huge_aligned();
    arrival->charged = kRegionPages + (whole ? 0 : stored);
    arrival->spare = {};
    const bool have = arrival->frame_filled || take_spare(arrival->spare);
    if (!charge(arrival->charged - (have ? kRegionPages : 0), true)) {
        if (arrival->spare.count != 0)
            give_spare(arrival->spare);
        return; // DRAM is short: later faults will ask again
    }
    arrival->frame_filled = arrival->spare.count == 0;
    expect_regions();
    arrival->phase = Arrival::Phase::reading;
    arrival->region = region;
    arrival->whole = whole;
    arrival->go_on = false;
    arrival->turn = ++ahead_turn_;
    take_arrival_pages(*arrival);
    ahead_queue_.push_back(arrival);
    ahead_work_.notify_one();
}

Arrival *Backend::find_arrival(PageIndex page) {
    for (const auto &arrival : arrivals_)
        if (arrival->phase != Arrival::Phase::idle && page >= arrival->region.first &&
            page < arrival->region.end())
            return arrival.get();
    return nullptr;
}

void Backend::ahead_main() {
    for (;;) {
        std::deque<Arrival *> planned;
        {
            MutexLock lock(mutex_);
            planned.swap(ahead_queue_);
        }
        for (Arrival *arrival : planned)
            start_ahead(*arrival);
        Arrival *oldest = nullptr;
        for (const auto &arrival : arrivals_)
            if (arrival->pending != 0 && (oldest == nullptr || arrival->turn < oldest->turn))
                oldest = arrival.get();
        if (oldest != nullptr) {
            IoRequest *request = ahead_queues_[oldest->items.front().tier]->wait_one();
            // Its reads may be spread over several tiers.
            for (std::size_t t = 0; request == nullptr && t < ahead_queues_.size(); ++t)
                request = ahead_queues_[t]->wait_one();
            TIDEMARK_CHECK(request != nullptr);
            finish_read(*request);
            deliver_events();
            continue;
        }
        {
            MutexLock lock(mutex_);
            if (stopping_)
                return;
            if (ahead_queue_.empty())
                ahead_work_.wait_for(mutex_, kIdle);
        }
        release_unused();
        for (int regions = 0; regions < kUniteAtOnce && unite_region(); ++regions) {
        }
    }
}

// One whose frame has memory, if there is one.
Arrival *Backend::idle_arrival() {
    Arrival *idle = nullptr;
    for (const auto &arrival : arrivals_)
        if (arrival->phase == Arrival::Phase::idle && (idle == nullptr || arrival->frame_filled))
            idle = arrival.get();
    return idle;
}

// What nobody came for goes back to its tier, which has it still; memory that nothing is read into any
// more goes back to the kernel.
void Backend::release_unused() {
    for (const auto &arrival : arrivals_) {
        {
            MutexLock lock(mutex_);
            const bool old = Clock::now() - arrival->since > kUnused;
            if (old && arrival->phase == Arrival::Phase::ready) {
                forget_arrival(*arrival);
                end_arrival(*arrival, 0, false);
                continue;
            }
            if (!old || arrival->phase != Arrival::Phase::idle || !arrival->frame_filled)
                continue;
            arrival->phase = Arrival::Phase::landing; // nobody else's meanwhile
        }
        arrival->frame->drop();
        MutexLock lock(mutex_);
        uncharge(kRegionPages);
        arrival->frame_filled = false;
        arrival->phase = Arrival::Phase::idle;
    }
}

void Backend::forget_arrival(const Arrival &arrival) {
    const std::uint16_t now = coarse_now();
    for (std::uint32_t i = 0; i < arrival.region.count; ++i) {
        const PageIndex page = arrival.region.first.next(i);
        if (table_[page].state == PageState::arrived)
            finish(page, table_[page].slot.valid() ? PageState::stored : PageState::zero, now);
    }
}

} // namespace tidemark
