// SPDX-License-Identifier: GPL-2.0-or-later
//
// The mover serves the prefetch queue: behind the guest's own reads, and only what pays.
//
//    next order -> stored pages of it, in transit -> read in the order of their slots, in few requests
//               -> mapped, or put on probation in S (is_watched()), where their use will be seen
//
// What pays: a demand read is 1. Reading a page along with others is kReadCost, and if DRAM is full, the page
// that has to leave for it is worth what the last ones on probation were: the share that was used after all.
// What does not pay in DRAM comes from QLC up to NVMe.
#include "engine/backend.h"

#include <algorithm>

namespace tidemark {

namespace {
constexpr float kReadCost = 0.1F; // of a demand read; measured 4 to 15 us against 60
// Pages at a time: while the guest waits for reads; else; and as long as so many requests read them, more of them.
// With many requests in one batch whoever comes for one of its pages would wait long.
constexpr std::size_t kWhileBusy = 32, kAtOnce = 64;
constexpr std::size_t kFewRequests = 16;
constexpr std::uint32_t kWatchedShare = 16; // of DRAM may wait in S for a use that was foretold
constexpr std::uint64_t kJudgedLeast = 16;  // pages taken for used before any is judged
constexpr std::uint64_t kProbationLeast =
    512; // pages that make a new figure of what probation was worth

// What was warm on the host that a guest comes from (a record that is not sure of itself) need not be so here: the
// share of what came in for that, and could be judged, that was used.
float borne_out(const PrefetchTerms &terms, const PrefetchCounters &seen) {
    if (terms.origin != Origin::record || terms.confidence >= 1)
        return 1;
    const std::size_t record = index_of(Origin::record);
    const auto used = static_cast<float>(seen.used[record] + kJudgedLeast);
    return used / (used + static_cast<float>(seen.wasted[record]));
}

// How many pages the batch in loader may have in all. busy: the guest waits for reads.
std::size_t batch_most(Loader &loader, const PrefetchTerms &terms, bool busy) {
    if (busy)
        return kWhileBusy;
    // What is unsure has little room to wait in, and what goes to NVMe is written as one piece.
    const bool large = terms.to_dram && terms.confidence >= PrefetchQueue::kMapped;
    if (loader.items.size() < kAtOnce || !large)
        return kAtOnce;
    const bool more = !loader.full() && loader.arrange() <= kFewRequests;
    return loader.items.size() + (more ? kAtOnce : 0);
}
} // namespace

// True if there may be more to do at once.
bool Backend::serve_prefetch(Loader &loader) {
    const std::size_t nvme = tier_of_class(TierClass::nvme);
    PrefetchTerms terms;
    {
        MutexLock lock(mutex_);
        counters_.prefetch_declined += prefetch_queue_.take_dropped();
        PrefetchQueue::Order *const order = prefetch_queue_.next(Clock::now());
        if (order == nullptr)
            return false;
        terms = order->terms;
        loader.items.clear();
        if (!prefetch_pays(*order)) {
            // Too unsure for DRAM; from a slow tier to a fast one costs nobody a page.
            if (order->brought != 0 || tier_of_class(TierClass::qlc) == tiers_.size() ||
                nvme == tiers_.size()) {
                prefetch_queue_.drop(*order);
                return true;
            }
            order->terms.to_dram = terms.to_dram = false;
        }
        if (!order->terms.to_dram && nvme != tiers_.size() &&
            !tiers_[nvme]->within_budget(today())) { // it need not be written there
            prefetch_queue_.drop(*order);
            return true;
        }
        if (!take_prefetch(*order, loader) && loader.items.empty()) {
            prefetch_waits_ = true; // for DRAM: the evictor is at work
            mover_work_.wait_for(mutex_, std::chrono::milliseconds(5));
            prefetch_waits_ = false;
            return true;
        }
    }
    if (loader.items.empty())
        return true;
    loader.arrange();
    if (terms.to_dram)
        bring_in(loader, terms);
    else
        relocate(loader, nvme);
    return true;
}

bool Backend::prefetch_pays(const PrefetchQueue::Order &order) {
    if (!order.terms.to_dram)
        return true;
    const bool full = free_pages() < reserve_high_ * 2;
    // One order is not to turn all of DRAM over.
    if (order.brought > std::uint64_t{limit_pages_} * 7 / 8)
        return false;
    // Without those that were brought in to wait there.
    const PrefetchCounters &prefetch = counters_.prefetch;
    const std::uint64_t all_used = counters_.faults_staged - prefetch.ordered(prefetch.used);
    const std::uint64_t used = all_used - probation_seen_.used;
    const std::uint64_t left = counters_.evicted_pages - probation_seen_.left;
    if (used + left >= kProbationLeast) {
        const float now = static_cast<float>(used) / static_cast<float>(used + left);
        probation_worth_ += (now - probation_worth_) / 4;
        probation_seen_ = {all_used, counters_.evicted_pages};
    }
    return order.terms.confidence * borne_out(order.terms, prefetch) >
           kReadCost + (full ? probation_worth_ : 0);
}

// Stored pages from the front of the order, until there are enough for one batch; others are stepped over, so many at
// a time. False: DRAM is full.
bool Backend::take_prefetch(PrefetchQueue::Order &order, Loader &loader) {
    const std::size_t nvme = tier_of_class(TierClass::nvme);
    const PrefetchTerms terms = order.terms;
    std::size_t most = 0;
    bool left = true;
    for (std::uint32_t step = 0; left && step < PrefetchQueue::kStepsMost; ++step) {
        if (loader.items.size() >= most) {
            most = batch_most(loader, terms, demands_pending_ != 0 || !parked_.empty());
            if (loader.items.size() >= most)
                break;
        }
        const PageIndex page = order.front();
        const PageEntry &entry = table_[page];
        const bool higher =
            nvme < tiers_.size() && tiers_[entry.tier()]->tier_class() == TierClass::qlc;
        if (entry.state == PageState::stored && (terms.to_dram || higher)) {
            if (terms.to_dram && !charge(1, true))
                return false;
            ++order.brought;
            add_load(page, loader, terms.to_dram ? terms.origin : Origin::guest);
            ++(terms.to_dram ? issued(terms.origin) : counters_.promoted_pages);
        }
        left = prefetch_queue_.served(order);
    }
    return true;
}

// Reads loader.items; what comes back good is mapped, or waits in S to be seen used.
void Backend::bring_in(Loader &loader, const PrefetchTerms &terms) {
    bool room = false;
    {
        MutexLock lock(mutex_);
        release_watched();
        room = watched_queue_.size() < limit_pages_ / kWatchedShare;
    }
    loader.read(false, [&](std::size_t first, std::size_t count) {
        for (std::size_t i = first; i < first + count;) {
            const auto watched = [&](std::size_t k) {
                return room && is_watched(loader.items[k].page, terms);
            };
            std::size_t end = i + 1;
            while (end < first + count && watched(end) == watched(i))
                ++end;
            if (!watched(i) || !stage_loaded(loader, i, end - i, terms.until))
                land(loader, i, end - i, nullptr,
                     terms.confidence < PrefetchQueue::kMapped ? EnterReason::unasked
                                                               : EnterReason::foreseen);
            i = end;
        }
    });
}

// Copies the pages to S instead of R. False, and nothing done, if S has other use there.
bool Backend::stage_loaded(Loader &loader, std::size_t first, std::size_t count,
                           Clock::time_point until) {
    {
        MutexLock lock(mutex_);
        for (std::size_t i = first; i < first + count; ++i) {
            const PageIndex page = loader.items[i].page;
            if (loader.items[i].error != 0 || table_[page].has(page_flags::wanted) ||
                table_[page].shadow_in_use() || table_.region_of(page).shadow_huge)
                return false;
        }
        // Until they are there, nobody else may think the places in S free.
        for (std::size_t i = first; i < first + count; ++i)
            table_[loader.items[i].page].set(page_flags::shadow_reading);
    }
    std::size_t copied = 0;
    for (; copied < count; ++copied) {
        const std::size_t i = first + copied;
        if (memory_->copy_shadow({loader.items[i].page, 1}, loader.page_bytes(i)).done == 0)
            break;
    }
    {
        MutexLock lock(mutex_);
        const std::uint16_t now = coarse_now();
        for (std::size_t i = first; i < first + count; ++i) {
            const PageIndex page = loader.items[i].page;
            table_[page].clear(page_flags::shadow_reading);
            if (i >= first + copied)
                continue;
            table_[page].set(page_flags::watched);
            finish(page, PageState::staged, now);
            watched_queue_.push_back({page, until, counters_.evicted_pages + limit_pages_});
            if (recorder_)
                recorder_->note(page);
        }
    }
    if (copied < count)
        land(loader, first + copied, count - copied, nullptr, EnterReason::unasked);
    return true;
}

// Those whose time is over, or that have been there while as much left DRAM as fits, are on probation like any
// other from now on.
void Backend::release_watched() {
    const auto now = Clock::now();
    while (!watched_queue_.empty()) {
        const Watched &oldest = watched_queue_.front();
        const PageEntry &entry = table_[oldest.page];
        const bool here = entry.state == PageState::staged && entry.has(page_flags::watched);
        if (here && oldest.until > now && counters_.evicted_pages < oldest.turnover)
            return;
        if (here)
            staged_queue_.push_back(oldest.page);
        watched_queue_.pop_front();
    }
}

} // namespace tidemark
