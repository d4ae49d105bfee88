// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads for a fault: what is read with its page, and how what comes in is mapped or, if it can't be read, held.
#include "engine/read_on.h"

#include <algorithm>

namespace tidemark {

void Backend::add_load(PageIndex page, Loader &loader, Origin origin) {
    PageEntry &entry = table_[page];
    entry.origin = origin;
    table_.set_state(page, PageState::loading);
    loader.items.push_back(item_of(page, entry));
}

LoadItem Backend::item_of(PageIndex page, const PageEntry &entry) {
    LoadItem item;
    item.page = page;
    item.slot = entry.slot;
    item.tier = static_cast<std::uint8_t>(entry.tier());
    item.checksum = entry.checksum;
    return item;
}

Plan Backend::plan_read(const Fault &fault, Loader &loader) {
    Ahead ahead = follows(Origin::streams) ? streams_.look(fault.page, Streams::kMost) : Ahead{};
    // Thousands of pages are worth it only once all of a read's window has been walked over.
    const bool sure = ahead.pages == Streams::kMost && ahead.in_order();
    ahead.pages = std::min(ahead.pages, kLoadWindow);
    if (sure) {
        // A guest that has caught up waits for the whole region, and the next ones are under way.
        const PageRun region = table_.region_run(fault.page);
        const bool early = fault.page.value - region.first.value < kRegionPages / 8;
        request_ahead(early ? region.first : region.end());
        if (table_[fault.page].state == PageState::loading) {
            ++counters_.faults;
            ++counters_.faults_stored;
            log_access({fault.page, 1}, AccessKind::stored, Origin::streams, fault.write);
            table_[fault.page].origin = Origin::guest;
            table_[fault.page].set(page_flags::wanted);
            waiting_.push_back(fault);
            find_arrival(fault.page)->go_on = true;
            walked(fault.page, region.end().value - fault.page.value);
            return {};
        }
    }
    if (!charge(1, false)) {
        park(fault, 1);
        return {};
    }
    ++counters_.faults;
    ++counters_.faults_stored;
    log_access({fault.page, 1}, AccessKind::stored, Origin::guest, fault.write);
    plan_load(fault, loader, ahead);
    return {Step::load, {fault.page, 1}};
}

// The demanded page, and what is expected after it: what lies ahead in a stream, else what came after it
// the last time. Pages that need no read (resident, zero) are stepped over: they end neither.
void Backend::plan_load(const Fault &fault, Loader &loader, Ahead ahead) {
    ++demands_pending_; // until all of it is in
    loader.items.clear();
    add_load(fault.page, loader, Origin::guest);
    expected_.clear();
    PrefetchCounters &count = counters_.prefetch;
    if (follows(Origin::successors))
        count.used[index_of(Origin::successors)] += successors_.look(
            fault.page, fault.thread_id, ahead.walks() ? 0 : kLoadWindow, expected_);
    const Origin origin = ahead.walks() ? Origin::streams : Origin::successors;
    if (ahead.walks())
        expect_stream(fault.page, ahead);
    std::size_t taken = 0;
    std::uint32_t read = 0;
    for (; taken < expected_.size(); ++taken) {
        const PageIndex page = expected_[taken];
        if (table_[page].state != PageState::stored)
            continue;
        if (loader.full() || !charge(1, true))
            break;
        ++issued(origin);
        ++read;
        add_load(page, loader, origin);
    }
    const std::span<const PageIndex> served = std::span(expected_).first(taken);
    walked(fault.page, ahead.walks() ? static_cast<std::uint32_t>(taken) + 1 : 1,
           ahead.walks() ? read : 0);
    successors_.served(fault.page, fault.thread_id, served, ahead.walks() ? 0 : read);
    const bool in_regions = ahead.walks() && ahead.in_order(); // plan_read() asks for them
    if (taken + 1 >= kLoadWindow && !in_regions)
        ReadOn::want(*this, {origin, fault.thread_id, ahead.stride, served.back()});
}

void Backend::expect_stream(PageIndex page, Ahead ahead) {
    for (std::uint32_t step = 1; step < ahead.pages; ++step) {
        const std::int64_t at = std::int64_t{page.value} + std::int64_t{step} * ahead.stride;
        if (at < 0 || at >= pages_)
            return;
        expected_.push_back(PageIndex{static_cast<std::uint32_t>(at)});
    }
}

// Reads loader.items (all in state loading, all charged), waiting, and maps what came back good. With a
// fault, items[0] is its page and goes first.
void Backend::execute_load(const Fault *fault, Loader &loader, EnterReason others) {
    loader.read(fault != nullptr, [&](std::size_t first, std::size_t count) {
        land(loader, first, count, fault, others);
    });
}

void Backend::land(Loader &loader, std::size_t first, std::size_t count, const Fault *fault,
                   EnterReason others) {
    // Pages next to each other with good bytes go in with one call.
    for (std::size_t i = first; i < first + count;) {
        std::size_t end = i + 1;
        while (end < first + count && loader.items[end].error == 0 && loader.items[i].error == 0 &&
               loader.items[end].page == loader.items[end - 1].page.next())
            ++end;
        const std::uint32_t run = static_cast<std::uint32_t>(end - i);
        if (loader.items[i].error == 0)
            map_in({loader.items[i].page, run}, loader.page_bytes(i));
        const bool demanded = fault != nullptr && i == 0;
        if (demanded && loader.items[i].error == 0)
            count_latency(*fault, EnterReason::refault_stored);
        MutexLock lock(mutex_);
        const std::uint16_t now = coarse_now();
        for (; i < end; ++i) {
            const LoadItem &item = loader.items[i];
            const bool asked = fault != nullptr && i == 0;
            if (item.error == 0) {
                finish_resident(item.page, asked ? EnterReason::refault_stored : others, now);
                continue;
            }
            uncharge(1);
            if (asked)
                hold(item.page, item.tier, item.error, *fault);
            else
                finish(item.page, PageState::stored, now); // the fault that needs it will tell
        }
    }
}

void Backend::hold(PageIndex page, std::size_t tier, int error, const Fault &fault) {
    Held held{page, error, {fault.thread_id}};
    PageEntry &entry = table_[page];
    entry.clear(page_flags::wanted);
    for (auto it = waiting_.begin(); it != waiting_.end();)
        if (it->page == page) {
            held.threads.push_back(it->thread_id);
            it = waiting_.erase(it);
        } else {
            ++it;
        }
    held_.push_back(std::move(held));
    finish(page, PageState::held, coarse_now());
    post({EventKind::page_held, static_cast<std::uint32_t>(tier), page, error});
}

} // namespace tidemark
