// SPDX-License-Identifier: GPL-2.0-or-later
//
// From a fault message to a mapped page.
//
//   serve():  lock -> plan_fault(): look at the page's state, charge DRAM, take the page into transit
//             unlock -> the slow part: copy, zero
//             lock -> finish_resident()
//    a read is left to the caller (service.cc), who hands what comes in to land()
//
// A fault waits for nothing in here: without DRAM it is parked, on a page in transit it is left to whoever
// ends the transit.
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>

namespace tidemark {

namespace {
constexpr std::uint32_t kZeroWindow = 16;
} // namespace

bool Backend::serve(const Fault &fault, Loader &loader) {
    Plan plan;
    {
        MutexLock lock(mutex_);
        plan = plan_fault(fault, loader);
    }
    EnterReason reason = EnterReason::first_touch;
    switch (plan.step) {
    case Step::none:
        return false;
    case Step::poison:
        memory_->poison(plan.run);
        memory_->wake(plan.run);
        return false;
    case Step::load:
        return true;
    case Step::land:
        land_arrival(*plan.arrival, &fault);
        return false;
    case Step::from_shadow:
        map_in(plan.run, memory_->shadow(fault.page));
        reason = EnterReason::refault_staged;
        break;
    case Step::refill:
    case Step::zero_fill:
        map_in(plan.run, nullptr);
        break;
    case Step::region_fill:
        fill_region(plan.run, plan.spare, loader.frame());
        break;
    }
    count_latency(fault);
    MutexLock lock(mutex_);
    const std::uint16_t now = coarse_now();
    if (plan.step == Step::region_fill) {
        finish_region(plan.run, reason, now);
        spare_moved(plan.spare);
        return false;
    }
    for (PageIndex page = plan.run.first; page < plan.run.end(); page = page.next()) {
        if (plan.step == Step::from_shadow) {
            // Whoever of us and the writer needs S last gives it up.
            table_[page].clear(page_flags::shadow_reading);
            if (!table_[page].has(page_flags::shadow_busy))
                retire_shadow(page);
        }
        finish_resident(page, reason, now);
    }
    return false;
}

Backend::Plan Backend::plan_fault(const Fault &fault, Loader &loader) {
    PageEntry &entry = table_[fault.page];
    const PageRun run{fault.page, 1};
    const PageState from = entry.state;
    switch (from) {
    case PageState::resident:
        // Either another thread mapped it since, or someone dropped it from R without telling us (then
        // it holds zeros, as dropped anonymous memory does). Filling tells the two apart by EEXIST.
        leave_resident(fault.page, PageState::filling);
        return {Step::refill, run};
    case PageState::untouched:
    case PageState::zero:
        return plan_zero_fill(fault);
    case PageState::staged:
    case PageState::writing:
        return plan_take_back(fault);
    case PageState::arrived:
        ++counters_.faults;
        ++counters_.faults_arrived;
        return plan_landing(fault);
    case PageState::stored:
        return plan_read(fault, loader);
    case PageState::filling:
    case PageState::staging:
    case PageState::loading:
        entry.set(page_flags::wanted);
        waiting_.push_back(fault);
        return {};
    case PageState::held:
        for (Held &held : held_)
            if (held.page == fault.page && std::find(held.threads.begin(), held.threads.end(),
                                                     fault.thread_id) == held.threads.end())
                held.threads.push_back(fault.thread_id);
        return {};
    case PageState::poisoned:
        return {Step::poison, run};
    }
    return {};
}

// From S, with the staged neighbours ahead if faults have been walking this way.
Backend::Plan Backend::plan_take_back(const Fault &fault) {
    if (!charge(1, false)) {
        park(fault, 1);
        return {};
    }
    ++counters_.faults;
    ++counters_.faults_staged;
    expected_.clear();
    if (config_.prefetch) {
        successors_.look(fault.page, fault.thread_id, 0, expected_);
        successors_.served(fault.page, fault.thread_id, {});
    }
    const std::uint32_t window = streams_.look(fault.page, kZeroWindow).row();
    PageRun run{fault.page, 0};
    do {
        PageEntry &entry = table_[run.end()];
        if (entry.state == PageState::writing)
            entry.set(page_flags::shadow_busy);
        entry.set(page_flags::shadow_reading);
        table_.set_state(run.end(), PageState::filling);
        if (entry.has(page_flags::unasked)) {
            entry.clear(page_flags::unasked);
            ++counters_.readahead_used;
        }
        ++run.count;
    } while (run.count < window && run.end().value < pages_ &&
             (table_[run.end()].state == PageState::staged ||
              table_[run.end()].state == PageState::writing) &&
             charge(1, true));
    streams_.served(fault.page, run.count);
    return {Step::from_shadow, run};
}

Backend::Plan Backend::plan_zero_fill(const Fault &fault) {
    const std::uint32_t window = streams_.look(fault.page, kZeroWindow).row();
    const PageRun region = table_.region_run(fault.page);
    if (may_fill_region(region, window > 1)) {
        Plan plan{Step::region_fill, region};
        if (take_spare(plan.spare) || charge(kRegionPages, false)) {
            ++counters_.faults;
            ++counters_.faults_untouched;
            for (PageIndex page = region.first; page < region.end(); page = page.next())
                table_.set_state(page, PageState::filling);
            streams_.served(fault.page, region.end().value - fault.page.value);
            expect_regions();
            return plan;
        }
        if (Clock::now() - fault.since < kRegionWait) { // worth a wait: 511 faults less
            park(fault, kRegionPages);
            return {};
        }
    }
    if (!charge(1, false)) {
        park(fault, 1);
        return {};
    }
    ++counters_.faults;
    ++counters_.faults_untouched;
    PageRun run{fault.page, 1};
    table_.set_state(fault.page, PageState::filling);
    while (run.count < window && run.end().value < pages_ &&
           table_[run.end()].state == PageState::untouched && charge(1, true)) {
        table_.set_state(run.end(), PageState::filling);
        ++run.count;
    }
    streams_.served(fault.page, run.count);
    return {Step::zero_fill, run};
}

// 2 MiB at a touch, as the kernel does for memory that asks for huge pages: while DRAM is plentiful
// anywhere, later only where the guest walks through memory it has not used.
bool Backend::may_fill_region(PageRun region, bool stream) {
    if (region.count != kRegionPages || table_.region_of(region.first).resident != 0 ||
        !memory_->huge_aligned())
        return false;
    if (limit_pages_ < 16 * kRegionPages ||
        (!stream && free_pages() < kRegionPages + limit_pages_ / 4))
        return false;
    for (PageIndex page = region.first; page < region.end(); page = page.next())
        if (const PageState state = table_[page].state;
            state != PageState::untouched && !(stream && state == PageState::zero))
            return false;
    return true;
}

void Backend::add_load(PageIndex page, Loader &loader) {
    const PageEntry &entry = table_[page];
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

Backend::Plan Backend::plan_read(const Fault &fault, Loader &loader) {
    const Ahead ahead = config_.prefetch ? streams_.look(fault.page, kLoadWindow) : Ahead{};
    if (ahead.pages == kLoadWindow && ahead.in_order()) {
        // A guest that has caught up waits for the whole region, and the next ones are under way.
        const PageRun region = table_.region_run(fault.page);
        const bool early = fault.page.value - region.first.value < kRegionPages / 8;
        request_ahead(early ? region.first : region.end());
        if (table_[fault.page].state == PageState::loading) {
            ++counters_.faults;
            ++counters_.faults_stored;
            table_[fault.page].set(page_flags::wanted);
            waiting_.push_back(fault);
            find_arrival(fault.page)->go_on = true;
            streams_.served(fault.page, region.end().value - fault.page.value);
            return {};
        }
    }
    if (!charge(1, false)) {
        park(fault, 1);
        return {};
    }
    ++counters_.faults;
    ++counters_.faults_stored;
    plan_load(fault, loader, ahead);
    return {Step::load, {fault.page, 1}};
}

// The demanded page, and what is expected after it: what lies ahead in a stream, else what came after it
// the last time. Pages that need no read (resident, zero) are stepped over: they end neither.
void Backend::plan_load(const Fault &fault, Loader &loader, Ahead ahead) {
    loader.items.clear();
    add_load(fault.page, loader);
    expected_.clear();
    if (config_.prefetch)
        successors_.look(fault.page, fault.thread_id, ahead.walks() ? 0 : kLoadWindow, expected_);
    if (ahead.walks())
        expect_stream(fault.page, ahead);
    std::size_t taken = 0;
    for (; taken < expected_.size(); ++taken) {
        const PageIndex page = expected_[taken];
        if (table_[page].state != PageState::stored)
            continue;
        if (loader.full() || !charge(1, true))
            break;
        ++counters_.readahead_pages;
        add_load(page, loader);
    }
    const std::span<const PageIndex> served = std::span(expected_).first(taken);
    streams_.served(fault.page, ahead.walks() ? static_cast<std::uint32_t>(taken) + 1 : 1);
    successors_.served(fault.page, fault.thread_id, served);
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
            count_latency(*fault);
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

void Backend::count_latency(const Fault &fault) {
    latency_.record(Clock::now() - fault.since);
}

} // namespace tidemark
