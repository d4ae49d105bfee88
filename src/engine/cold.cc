// SPDX-License-Identifier: GPL-2.0-or-later
//
// Proactive reclaim (reclaim.h), by the evictor while it has nothing more urgent to do.
#include "engine/backend.h"

#include <algorithm>

namespace tidemark {

namespace {
constexpr double kTick = 0.2;    // seconds
constexpr double kShortOver = 2; // since something had to leave: DRAM is not short any more
} // namespace

// One tick; between ticks nothing.
void Backend::reclaim_cold() {
    const auto seconds = [](std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; };
    const double now = since_start();
    if (now - reclaim_tick_ < kTick)
        return;
    reclaim_tick_ = now;
    const double io_pressure = listener_.io_pressure ? listener_.io_pressure() : 0;
    std::uint32_t looks = 0;
    {
        MutexLock lock(mutex_);
        reclaim_.configure(config_.reclaim_slowdown, config_.cold_age, recorder_.has_value());
        if (!armed_ || !reclaim_.on())
            return;
        reclaim_.look({.now = now,
                       .waited = seconds(stored_wait_ns_ + staged_wait_ns_),
                       .waited_staged = seconds(staged_wait_ns_),
                       .left = counters_.evicted_pages,
                       .returns = counters_.faults_stored,
                       .late = counters_.staged_late_pages,
                       .io_pressure = io_pressure,
                       .short_of_dram = now - evicted_at_ < kShortOver});
        slowdown_ = reclaim_.slowdown();
        looks = reclaim_.due((pages_ + kRegionPages - 1) / kRegionPages);
    }
    for (std::uint32_t i = 0; i < looks && reclaim_.may_probe_more() && !reclaim_interrupted(); ++i)
        reclaim_.probed(probe_next_region());
    // Zero and unchanged pages cost no write, but which those are shows only when they are looked at.
    if (reclaim_.may_write())
        clean_cold();
}

void Backend::clean_cold() {
    std::uint64_t enough = 0;
    {
        MutexLock lock(mutex_);
        enough = counters_.evicted_pages + reclaim_.may_leave();
    }
    while (!reclaim_interrupted() && tier_for(false) != tiers_.size()) {
        {
            MutexLock lock(mutex_);
            if (oldest_staged_age() < half_cold_age() || counters_.evicted_pages >= enough)
                break;
        }
        clean_some(half_cold_age());
        drop_stale_shadows();
    }
    while (!writes_.empty())
        finish_writes(true);
    drop_stale_shadows();
}

// The guest needs DRAM, or nothing at all any more.
bool Backend::reclaim_interrupted() {
    MutexLock lock(mutex_);
    return stopping_ || reserve_short_ || !parked_.empty();
}

// In the stamps' unit; at least one, so that a page has been there for some time.
std::uint16_t Backend::half_cold_age() const {
    return static_cast<std::uint16_t>(
        std::max(1.0, reclaim_.half_age() / static_cast<double>(kStampUnit.count())));
}

std::uint16_t Backend::oldest_staged_age() {
    while (!staged_queue_.empty() && table_[staged_queue_.front()].state != PageState::staged)
        staged_queue_.pop_front();
    return staged_queue_.empty() ? 0 : age_of(table_[staged_queue_.front()], coarse_now());
}

// Puts what has not changed place for half a cold age, or is missing in a record, on probation; returns how many pages.
// A huge page only as a whole, for a part of it would cost the guest the huge page.
std::uint32_t Backend::probe_next_region() {
    std::vector<PageRun> runs;
    std::uint32_t cold = 0;
    {
        MutexLock lock(mutex_);
        if (staging_)
            return 0;
        const PageRun region = table_.region_run(cold_hand_);
        cold_hand_ = region.end().value < pages_ ? region.end() : PageIndex{0};
        const RegionEntry &entry = table_.region_of(region.first);
        if (entry.resident == 0)
            return 0;
        const std::uint16_t wanted = half_cold_age(), now = coarse_now();
        for (PageIndex page = region.first; page < region.end(); page = page.next()) {
            if (!cold_resident(page, wanted, now))
                continue;
            ++cold;
            if (!runs.empty() && runs.back().end() == page)
                ++runs.back().count;
            else
                runs.push_back({page, 1});
        }
        if (cold == kRegionPages && !entry.shadow_huge)
            take_region(region);
        else if (entry.huge && entry.resident == kRegionPages)
            return 0;
        else
            for (const PageRun run : runs)
                for (PageIndex page = run.first; page < run.end(); page = page.next())
                    leave_resident(page, PageState::staging);
        staging_ = true;
    }
    move_out_all(runs);
    MutexLock lock(mutex_);
    staging_ = false;
    return cold;
}

bool Backend::cold_resident(PageIndex page, std::uint16_t wanted, std::uint16_t now) {
    const PageEntry &entry = table_[page];
    return entry.state == PageState::resident && !entry.shadow_in_use() &&
           (age_of(entry, now) >= wanted || (recorder_ && !recorder_->seen(page)));
}

} // namespace tidemark
