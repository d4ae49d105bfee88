// SPDX-License-Identifier: GPL-2.0-or-later
//
// What callers ask of a backend from their own threads: settings, figures, discards, reads without
// promotion, and the fate of held pages.
#include "engine/postcopy.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tidemark {

namespace {
constexpr std::uint32_t kDiscardBatch = 512;
} // namespace

Result<void> Backend::configure(const BackendConfig &config) {
    MutexLock lock(mutex_);
    const BackendConfig before = config_;
    config_ = config;
    if (!armed_ && memory_ && config.dram_limit < bytes_of(pages_)) {
        apply_limit();
        if (auto armed = arm(); !armed) {
            config_ = before;
            apply_limit();
            return armed;
        }
    }
    if (policy_ && policy_->kind() != config.policy) {
        policy_ = make_policy(config.policy, pages_);
        rerank();
    }
    if (memory_)
        apply_limit();
    if (!config.learn)
        log_.reset();
    else if (!log_ && memory_)
        log_.emplace(pages_, true);
    mover_work_.notify_one();
    work_.notify_one(); // the evictor may have to watch for cold pages now
    return {};
}

BackendConfig Backend::config() {
    MutexLock lock(mutex_);
    return config_;
}

BackendGlance Backend::glance() {
    MutexLock lock(mutex_);
    BackendGlance out{config_, armed_, {}, counters_, slowdown_};
    for (std::size_t s = 0; s < kPageStates; ++s)
        out.pages[s] = table_.count(static_cast<PageState>(s));
    return out;
}

BackendReport Backend::report() {
    BackendReport out;
    MutexLock lock(mutex_);
    out.config = config_;
    out.armed = armed_;
    for (std::size_t s = 0; s < kPageStates; ++s)
        out.pages[s] = table_.count(static_cast<PageState>(s));
    std::uint64_t used_pages = charged_;
    if (!armed_ && memory_)
        // Nobody counts faults yet: ask the kernel what is mapped.
        if (const auto mapped = memory_->mapped_pages()) {
            const auto resident =
                static_cast<std::uint64_t>(std::count(mapped->begin(), mapped->end(), true));
            used_pages += resident;
            out.pages[static_cast<std::size_t>(PageState::resident)] = resident;
            out.pages[static_cast<std::size_t>(PageState::untouched)] = pages_ - resident;
        }
    out.dram_used = bytes_of(used_pages);
    out.dram_slack = slack_bytes();
    out.metadata_bytes = table_.bytes() + successors_.bytes() + staged_queue_.bytes() +
                         watched_queue_.size() * sizeof(Watched) +
                         stale_shadows_.capacity() * sizeof(PageRun);
    if (recorder_)
        out.metadata_bytes += recorder_->bytes();
    if (log_)
        out.metadata_bytes += log_->bytes();
    out.metadata_bytes += prefetch_queue_.bytes();
    for (const auto &arrival : arrivals_)
        out.metadata_bytes += sizeof(Arrival) + arrival->metadata;
    out.counters = counters_;
    out.queued_prefetch_pages = prefetch_queue_.pages();
    out.remote_waits = remote_.waits.size();
    out.latency = latency_.counts();
    for (const auto &tier : tiers_) {
        TierReport report;
        const TierCounters &counters = tier->counters();
        report.tier_class = tier->tier_class();
        report.degraded = tier->degraded;
        report.direct_io = tier->disk().direct();
        report.capacity = bytes_of(tier->capacity_slots());
        report.used = bytes_of(tier->used_slots());
        report.read_bytes = counters.read_bytes;
        report.written_bytes = counters.written_bytes;
        report.read_errors = counters.read_errors;
        report.write_errors = counters.write_errors;
        report.checksum_errors = counters.checksum_errors;
        for (std::size_t b = 0; b < kWriteSizeBuckets; ++b)
            report.write_sizes[b] = counters.write_sizes[b];
        report.pages = table_.stored_in(out.tiers.size());
        out.metadata_bytes += tier->metadata_bytes();
        out.tiers.push_back(report);
    }
    return out;
}

std::optional<std::uint64_t> Backend::prefetch(std::span<const PageRun> runs,
                                               const PrefetchTerms &terms) {
    PrefetchQueue::Order order = PrefetchQueue::order(runs, terms);
    MutexLock lock(mutex_);
    const auto ticket = prefetch_queue_.push(std::move(order));
    mover_work_.notify_one();
    return ticket;
}

std::uint64_t Backend::cancel_prefetch(std::uint64_t ticket) {
    MutexLock lock(mutex_);
    return prefetch_queue_.cancel(ticket);
}

bool Backend::start_recording() {
    MutexLock lock(mutex_);
    if (recorder_)
        return false;
    recorder_.emplace(pages_);
    return true;
}

std::optional<std::vector<PageRun>> Backend::stop_recording() {
    MutexLock lock(mutex_);
    if (!recorder_)
        return std::nullopt;
    std::vector<PageRun> runs = recorder_->take();
    recorder_.reset();
    return runs;
}

void Backend::wait_still(PageIndex page) {
    ++transit_waiters_;
    while (!stopping_ && (in_transit(table_[page].state) ||
                          table_[page].has(page_flags::shadow_busy | page_flags::shadow_reading)))
        transit_done_.wait(mutex_);
    --transit_waiters_;
}

void Backend::discard(PageRun run) {
    {
        MutexLock lock(mutex_);
        if (!armed_) {
            // Under the lock, so that arm() can't find the page mapped and have it moved to S, where
            // this would miss it.
            const int error = memory_->drop_guest(run);
            TIDEMARK_CHECK(error == 0);
            return;
        }
    }
    while (run.count != 0) {
        const std::uint32_t count = std::min(run.count, kDiscardBatch);
        discard_part({run.first, count}, PageState::untouched);
        run = {run.first.next(count), run.count - count};
    }
}

// Two discards of one range take pages in ascending order, so they can't wait for each other in turn.
// to: untouched, or remote.
void Backend::discard_part(PageRun run, PageState to) {
    std::vector<PageRun> mapped;
    std::uint32_t resident = 0;
    {
        MutexLock lock(mutex_);
        const std::uint16_t now = coarse_now();
        for (PageIndex page = run.first; page < run.end(); page = page.next()) {
            wait_still(page);
            if (stopping_)
                return;
            PageEntry &entry = table_[page];
            const PageState from = entry.state;
            if (from == to)
                continue;
            counters_.discarded_pages += from != PageState::untouched ? 1 : 0;
            release_slot(page);
            switch (from) {
            case PageState::resident:
                leave_resident(page, PageState::filling);
                table_.region_of(page).huge = false;
                break;
            case PageState::poisoned:
                table_.set_state(page, PageState::filling);
                break;
            case PageState::staged:
                table_.set_state(page, PageState::filling);
                retire_shadow(page);
                finish(page, to, now);
                continue;
            case PageState::held:
                std::erase_if(held_, [page](const Held &held) { return held.page == page; });
                finish(page, to, now);
                parked_.push_back({page, 0, Clock::now()}); // what it held up gets zeros
                parked_work_.notify_one();
                continue;
            case PageState::remote:
                finish(page, to, now);
                Postcopy::release_waits(*this, page);
                continue;
            default: // untouched, zero, stored, arrived
                finish(page, to, now);
                continue;
            }
            resident += from == PageState::resident ? 1 : 0;
            if (!mapped.empty() && mapped.back().end() == page)
                ++mapped.back().count;
            else
                mapped.push_back({page, 1});
        }
    }
    for (const PageRun part : mapped) {
        const int error = memory_->drop_guest(part);
        TIDEMARK_CHECK(error == 0); // the guest would see old bytes
    }
    MutexLock lock(mutex_);
    uncharge(resident);
    for (const PageRun part : mapped)
        for (PageIndex page = part.first; page < part.end(); page = page.next())
            finish(page, to, coarse_now());
}

bool Backend::known_zero(PageIndex page) {
    MutexLock lock(mutex_);
    const PageState state = table_[page].state;
    return armed_ && (state == PageState::untouched || state == PageState::zero);
}

int Backend::read_page(PageIndex page, std::span<std::byte, kPageSize> out) {
    MutexLock serial(control_mutex_);
    PageState from = PageState::untouched;
    std::uint16_t stamp = 0; // stays: to be dumped makes no page younger
    {
        MutexLock lock(mutex_);
        if (!armed_)
            return memory_->peek_guest(page, out);
        wait_still(page);
        from = table_[page].state;
        stamp = table_[page].stamp;
        switch (from) {
        case PageState::resident:
            leave_resident(page, PageState::filling);
            break;
        case PageState::staged:
            table_.set_state(page, PageState::filling);
            break;
        case PageState::stored:
            control_loader_->items.clear();
            add_load(page, *control_loader_, Origin::guest);
            break;
        case PageState::arrived:
            // Its frame may not go away meanwhile: the one copy made under the lock.
            std::memcpy(out.data(), arrival_bytes(*find_arrival(page), page), kPageSize);
            return 0;
        case PageState::held:
        case PageState::poisoned:
            return EIO;
        case PageState::remote:
            return EAGAIN;
        default:
            std::memset(out.data(), 0, kPageSize);
            return 0;
        }
    }
    int error = 0;
    if (from == PageState::stored) {
        control_loader_->read(false, [](std::size_t, std::size_t) {});
        error = control_loader_->items[0].error;
        std::memcpy(out.data(), control_loader_->page_bytes(0), kPageSize);
    } else if (from == PageState::resident) {
        error = memory_->peek_guest(page, out);
    } else {
        std::memcpy(out.data(), memory_->shadow(page), kPageSize);
    }
    MutexLock lock(mutex_);
    if (from == PageState::resident)
        ++resident_by_rank_[table_.rank(page)]; // no access of the guest's: its rank stays
    if (from == PageState::staged)
        staged_queue_.push_back(page);
    finish(page, from, stamp);
    return error;
}

std::uint64_t Backend::resolve(PageRun run, bool retry) {
    std::vector<Held> chosen;
    {
        MutexLock lock(mutex_);
        const auto split = std::stable_partition(held_.begin(), held_.end(), [&](const Held &h) {
            return h.page < run.first || h.page >= run.end();
        });
        chosen.assign(split, held_.end());
        held_.erase(split, held_.end());
        for (const Held &held : chosen) {
            if (retry) {
                finish(held.page, PageState::stored, coarse_now());
                for (const std::int32_t thread : held.threads)
                    parked_.push_back({held.page, thread, Clock::now()});
            } else {
                release_slot(held.page);
                finish(held.page, PageState::poisoned, coarse_now());
            }
            post({EventKind::page_resolved, 0, held.page, retry ? 0 : EHWPOISON});
        }
        parked_work_.notify_one();
    }
    if (!retry)
        for (const Held &held : chosen) {
            memory_->poison({held.page, 1});
            memory_->wake({held.page, 1});
        }
    deliver_events();
    return chosen.size();
}

bool Backend::thread_held(std::int32_t thread_id) {
    MutexLock lock(mutex_);
    return std::any_of(held_.begin(), held_.end(), [thread_id](const Held &held) {
        return std::find(held.threads.begin(), held.threads.end(), thread_id) != held.threads.end();
    });
}

std::uint64_t Backend::held_pages() {
    MutexLock lock(mutex_);
    return held_.size();
}

} // namespace tidemark
