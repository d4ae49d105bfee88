// SPDX-License-Identifier: GPL-2.0-or-later
//
// The evictor keeps a reserve of free DRAM so that faults need not wait for it.
//
//   one round:  drop shadows nobody needs  ->  stage the coldest resident pages (R -> S, batches)
//               ->  clean the longest staged (zero? same as its copy? else write), see writeback.cc
//
// It starts when the reserve is half used up and stops when it is whole. Staged pages up to the
// policy's share stay staged: they are the second chance, and the only sight of reads there is.
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>

namespace tidemark {

namespace {
constexpr std::uint32_t kBatch = 64;
constexpr std::uint32_t kSweep = 32768; // table entries looked at per hold of the lock
constexpr int kMoveAttempts = 16;
constexpr auto kRegionsOver = std::chrono::milliseconds(200); // since the last: none is expected
} // namespace

bool Backend::eviction_due() const {
    return armed_ && (reserve_short_ || free_pages() < reserve_low_ || !parked_.empty() ||
                      stale_pages_ >= kBatch || placing_.due());
}

void Backend::evictor_main() {
    for (;;) {
        {
            MutexLock lock(mutex_);
            // A batch that does not fill up is dropped all the same, once nothing more comes.
            while (!stopping_ && !eviction_due())
                if (!work_.wait_for(mutex_, std::chrono::milliseconds(200)) &&
                    (!stale_shadows_.empty() || regions_expected_ ||
                     (armed_ && (config_.reclaim_slowdown != 0 || recorder_))))
                    break;
            if (stopping_)
                return;
        }
        while (evict_some()) {
            evicted_at_ = since_start();
            deliver_events();
        }
        while (!writes_.empty())
            finish_writes(true);
        reclaim_cold();
        deliver_events();
        MutexLock lock(mutex_);
        if (regions_expected_ && Clock::now() - last_region_ > kRegionsOver) {
            set_reserve(false);
            drop_spares();
        }
    }
}

// One round; false once the reserve is whole.
bool Backend::evict_some() {
    bool progress = drop_stale_shadows();
    bool stage = false, clean = false, whole = false;
    {
        MutexLock lock(mutex_);
        release_watched();
        whole = free_pages() >= reserve_high_;
        if (stopping_ || (whole && !placing_.due())) {
            reserve_short_ = false;
            return false;
        }
        const std::uint32_t all = table_.count(PageState::staged);
        const auto staged = all - std::min(all, static_cast<std::uint32_t>(watched_queue_.size()));
        // What only passes through makes room before what is to stay.
        const bool passing =
            placing_.next(true) != nullptr || (placing_.active && !writes_.empty());
        stage = !whole && !passing && staged < staged_target() + kBatch;
        clean = passing || staged >= staged_target() || free_pages() < reserve_low_;
    }
    if (stage)
        progress = stage_some(kBatch) || progress;
    if (clean)
        progress = clean_some() || progress;
    if (!progress)
        progress = finish_writes(true);
    if (progress || whole)
        return true;
    // Nothing can leave: every tier is full or fails, or all is pinned.
    MutexLock lock(mutex_);
    if (Clock::now() - last_pressure_ > std::chrono::seconds(1)) {
        last_pressure_ = Clock::now();
        post({EventKind::pressure, 0, {}, 0});
    }
    work_.wait_for(mutex_, std::chrono::milliseconds(20));
    return true;
}

bool Backend::drop_stale_shadows() {
    std::vector<PageRun> runs;
    {
        MutexLock lock(mutex_);
        runs.swap(stale_shadows_);
        stale_pages_ = 0;
        std::erase_if(runs, [this](PageRun run) TIDEMARK_REQUIRES(mutex_) {
            return run.count == kRegionPages && keep_spare(run);
        });
        if (free_pages() == 0 && runs.empty() && !spares_.empty()) {
            runs.push_back(spares_.back());
            spares_.pop_back();
        }
    }
    if (runs.empty())
        return false;
    const int error = memory_->drop_shadow(runs);
    TIDEMARK_CHECK(error == 0); // DONTNEED on our own mapping: S[i] would be left behind and reused
    MutexLock lock(mutex_);
    for (const PageRun run : runs) {
        if (run.count == kRegionPages)
            table_.region_of(run.first).shadow_huge = false;
        for (PageIndex page = run.first; page < run.end(); page = page.next())
            table_[page].clear(page_flags::shadow_stale);
        uncharge(run.count);
    }
    if (transit_waiters_ != 0)
        transit_done_.notify_all();
    return true;
}

std::uint32_t Backend::staged_target() const {
    return limit_pages_ / 256 * policy_->staged_share();
}

bool Backend::stage_some(std::uint32_t want) {
    std::vector<PageRun> runs;
    {
        MutexLock lock(mutex_);
        if (staging_)
            return true; // by the thread that unites regions
        if (policy_->ageing_due())
            age_ranks();
        runs = select_victims(want);
        staging_ = true;
    }
    move_out_all(runs);
    MutexLock lock(mutex_);
    staging_ = false;
    return !runs.empty();
}

void Backend::move_out_all(std::span<const PageRun> runs) {
    for (const PageRun run : runs) {
        // The kernel moves a huge page in one piece only to where no page table is left.
        if (run.count == kRegionPages)
            TIDEMARK_CHECK(memory_->drop_shadow({&run, 1}) == 0);
        move_out(run);
    }
}

// In address order from the hand on, so that neighbours leave together. A huge page leaves whole.
std::vector<PageRun> Backend::select_victims(std::uint32_t want) {
    const std::uint8_t wanted = coldness_of(*policy_, resident_by_rank_, kBatch);
    std::vector<PageRun> runs;
    std::uint32_t found = 0;
    for (std::uint32_t seen = 0; seen < pages_ && found < want; ++seen) {
        // A sweep that has found something need not hold the lock for longer.
        if (seen >= kSweep && found != 0)
            break;
        const PageIndex page = hand_;
        if (page.value % kRegionPages == 0) {
            const PageRun region = table_.region_run(page);
            const std::uint32_t resident = table_.region_of(page).resident;
            if (resident == kRegionPages && whole_region_cold(region, wanted)) {
                take_region(region);
                runs.push_back(region);
                found += region.count;
            }
            if (resident == 0 || table_.region_of(page).resident == 0) {
                seen += region.count - 1;
                hand_ = region.end().value < pages_ ? region.end() : PageIndex{0};
                continue;
            }
        }
        hand_ = page.value + 1 < pages_ ? page.next() : PageIndex{0};
        const PageEntry &entry = table_[page];
        if (entry.state != PageState::resident || entry.shadow_in_use() ||
            policy_->coldness(table_.rank(page)) > wanted)
            continue;
        leave_resident(page, PageState::staging);
        table_.region_of(page).huge = false;
        ++found;
        if (!runs.empty() && runs.back().end() == page && runs.back().count < kRegionPages - 1)
            ++runs.back().count;
        else
            runs.push_back({page, 1});
    }
    return runs;
}

bool Backend::whole_region_cold(PageRun region, std::uint8_t wanted) {
    if (table_.region_of(region.first).shadow_huge)
        return false;
    for (PageIndex page = region.first; page < region.end(); page = page.next())
        if (table_[page].shadow_in_use() || policy_->coldness(table_.rank(page)) > wanted)
            return false;
    return true;
}

void Backend::take_region(PageRun region) {
    RegionEntry &entry = table_.region_of(region.first);
    entry.shadow_huge = entry.huge;
    entry.stale = 0;
    entry.huge = false;
    for (PageIndex page = region.first; page < region.end(); page = page.next())
        leave_resident(page, PageState::staging);
}

void Backend::put_back(PageIndex page) {
    ++counters_.move_busy;
    finish_resident(page, EnterReason::put_back, coarse_now());
}

// R -> S for a run in state staging. Every page ends staged, resident again, or found to be a hole.
void Backend::move_out(PageRun run) {
    for (int attempts = 0; run.count != 0;) {
        const RunResult result = memory_->move_out(run);
        MutexLock lock(mutex_);
        const std::uint16_t now = coarse_now();
        for (std::uint32_t i = 0; i < result.done; ++i) {
            finish(run.first.next(i), PageState::staged, now);
            staged_queue_.push_back(run.first.next(i));
        }
        if (result.done == kRegionPages && table_.region_of(run.first).shadow_huge)
            ++counters_.huge_moves;
        run = {run.first.next(result.done), run.count - result.done};
        if (run.count == 0)
            return;
        const PageIndex page = run.first;
        bool settled = true;
        // EEXIST: S[page] is in use although the table says that it is free, a page would be lost.
        TIDEMARK_CHECK(result.error != EEXIST);
        split_shadow(table_.region_run(page));
        switch (result.error) {
        case ENOENT: // a hole: somebody dropped the page from R, so it reads as zero
            release_slot(page);
            uncharge(1);
            finish(page, PageState::untouched, now);
            break;
        case EBUSY: // pinned for I/O, or shared with a fork: it stays, as if just used
            put_back(page);
            break;
        case 0:
        case EAGAIN: // the mapping changed under the call
            settled = ++attempts >= kMoveAttempts;
            if (settled)
                put_back(page);
            break;
        default: // EINVAL: mlocked or protected memory can't be moved; it stays resident
            put_back(page);
            break;
        }
        if (settled)
            run = {page.next(), run.count - 1};
    }
}

// A region that did not get to S as a whole is dropped page by page.
void Backend::split_shadow(PageRun region) {
    RegionEntry &entry = table_.region_of(region.first);
    if (!entry.shadow_huge)
        return;
    entry.shadow_huge = false;
    for (PageIndex page = region.first; page < region.end(); page = page.next())
        if (table_[page].has(page_flags::shadow_stale))
            add_stale({page, 1});
}

void Backend::age_ranks() {
    resident_by_rank_.fill(0);
    for (std::uint32_t i = 0; i < pages_; ++i) {
        std::uint8_t &rank = table_.rank(PageIndex{i});
        rank = policy_->age(rank);
        if (table_[PageIndex{i}].state == PageState::resident)
            ++resident_by_rank_[rank];
    }
}

} // namespace tidemark
