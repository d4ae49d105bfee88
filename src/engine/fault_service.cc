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
#include "engine/postcopy.h"
#include "engine/read_on.h"

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
    case Step::ask:
        Postcopy::tell(*this);
        return false;
    case Step::land:
        land_arrival(*plan.arrival, &fault);
        return false;
    case Step::from_shadow:
        map_in(plan.run, memory_->shadow(fault.page));
        reason = EnterReason::refault_staged;
        break;
    case Step::region_back:
        move_back(plan.run);
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
    count_latency(fault, reason);
    MutexLock lock(mutex_);
    const std::uint16_t now = coarse_now();
    if (plan.step == Step::region_fill || plan.step == Step::region_back) {
        finish_region(plan.run, reason, now);
        spare_moved(plan.step == Step::region_back ? plan.run : plan.spare);
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

Plan Backend::plan_fault(const Fault &fault, Loader &loader) {
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
        ReadOn::came_to_mark(*this, fault);
        if (entry.origin != Origin::guest) {
            // The guest was quicker.
            ++counters_.prefetch.late[index_of(entry.origin)];
            log_access(run, AccessKind::stored, entry.origin, fault.write);
            entry.origin = Origin::guest;
        }
        if (Arrival *const arrival = find_arrival(fault.page);
            arrival != nullptr && arrival->phase == Arrival::Phase::reading)
            walk_on(*arrival, fault);
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
    case PageState::remote:
        return {Postcopy::want(*this, fault) ? Step::ask : Step::none, run};
    }
    return {};
}

// From S, with the staged neighbours ahead if faults have been walking this way; all of a huge page, if
// nobody is short of DRAM.
Plan Backend::plan_take_back(const Fault &fault) {
    const PageRun region = table_.region_run(fault.page);
    const bool whole = may_move_back(region);
    if (!whole && !charge(1, false)) {
        park(fault, 1);
        return {};
    }
    ++counters_.faults;
    ++counters_.faults_staged;
    const bool late = age_of(table_[fault.page], coarse_now()) * kStampUnit >=
                      std::chrono::seconds(config_.cold_age) / 4.0;
    const bool mark = ReadOn::came_to_mark(*this, fault);
    see_used(fault);
    expected_.clear();
    if (follows(Origin::successors) && !mark) {
        successors_.look(fault.page, fault.thread_id, 0, expected_);
        successors_.served(fault.page, fault.thread_id, {});
    }
    if (whole) {
        counters_.staged_late_pages += late ? region.count : 0;
        for (PageIndex page = region.first; page < region.end(); page = page.next())
            table_.set_state(page, PageState::filling);
        walked(fault.page, region.end().value - fault.page.value);
        log_came_along(region, fault.page);
        return {Step::region_back, region};
    }
    const std::uint32_t window = streams_.look(fault.page, kZeroWindow).row();
    PageRun run{fault.page, 0};
    do {
        PageEntry &entry = table_[run.end()];
        if (entry.state == PageState::writing)
            entry.set(page_flags::shadow_busy);
        entry.set(page_flags::shadow_reading);
        entry.origin =
            Origin::guest; // it came in time: who comes while it is being mapped is not late
        table_.set_state(run.end(), PageState::filling);
        ++run.count;
    } while (run.count < window && run.end().value < pages_ &&
             (table_[run.end()].state == PageState::staged ||
              table_[run.end()].state == PageState::writing) &&
             charge(1, true));
    counters_.staged_late_pages += late ? run.count : 0;
    if (!mark)
        walked(fault.page, run.count);
    log_came_along(run, fault.page);
    return {Step::from_shadow, run};
}

// A huge page of S that nobody has taken anything from yet, while there is DRAM for it.
bool Backend::may_move_back(PageRun region) {
    if (!table_.region_of(region.first).shadow_huge || free_pages() < reserve_high_)
        return false;
    for (PageIndex page = region.first; page < region.end(); page = page.next())
        if (table_[page].state != PageState::staged || table_[page].shadow_in_use())
            return false;
    return true;
}

// A page on probation was needed after all.
void Backend::see_used(const Fault &fault) {
    PageEntry &entry = table_[fault.page];
    const bool asked = entry.origin == Origin::guest;
    log_access({fault.page, 1}, asked ? AccessKind::staged : AccessKind::prefetched, entry.origin,
               fault.write);
    if (!asked)
        ++counters_.prefetch.used[index_of(entry.origin)];
    entry.origin = Origin::guest;
    entry.clear(page_flags::watched);
}

Plan Backend::plan_zero_fill(const Fault &fault) {
    const std::uint32_t gone_over = streams_.gone_over(fault.page);
    const std::uint32_t window = gone_over != 0 ? std::min(gone_over, kZeroWindow)
                                                : streams_.look(fault.page, kZeroWindow).row();
    const PageRun region = table_.region_run(fault.page);
    if (may_fill_region(region, window > 1)) {
        Plan plan{Step::region_fill, region};
        if (take_spare(plan.spare) || charge(kRegionPages, false)) {
            ++counters_.faults;
            ++counters_.faults_untouched;
            for (PageIndex page = region.first; page < region.end(); page = page.next())
                table_.set_state(page, PageState::filling);
            walked(fault.page, region.end().value - fault.page.value);
            log_access(region, AccessKind::first_touch, Origin::guest, fault.write);
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
    const bool before_stored = run.count < window && run.end().value < pages_ &&
                               table_[run.end()].state == PageState::stored;
    if (gone_over == 0 && before_stored)
        streams_.passed(fault.page, run.count); // a zero page among others
    else if (gone_over == 0)
        walked(fault.page, run.count);
    log_access(run, AccessKind::first_touch, Origin::guest, fault.write);
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

// refault: of a page that had left.
void Backend::count_latency(const Fault &fault, EnterReason reason) {
    const auto waited = Clock::now() - fault.since;
    latency_.record(waited);
    if (reason == EnterReason::first_touch)
        return;
    auto &sum = reason == EnterReason::refault_staged ? staged_wait_ns_ : stored_wait_ns_;
    sum += static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count());
}

// Tells the streams of a fault, and counts what they had read for it earlier.
void Backend::walked(PageIndex page, std::uint32_t pages, std::uint32_t read) {
    counters_.prefetch.used[index_of(Origin::streams)] += streams_.served(page, pages, read);
}

} // namespace tidemark
