// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a backend tells those who learn from it: the log of accesses, and where pages are now.
#include "engine/backend.h"

namespace tidemark {

void Backend::log_access(PageRun run, AccessKind kind, Origin origin, bool write) {
    if (log_)
        note_access({run.first, run.count, kind, origin, write, log_time()});
}

void Backend::note_access(const Access &access) {
    log_->note(access);
    if (log_->half_full())
        learn_work_.notify_one();
}

std::uint32_t Backend::log_time() const {
    return static_cast<std::uint32_t>(since_start() * 1000);
}

// The page is about to leave DRAM, with others: ms is log_time(), asked once for all.
void Backend::log_leaving(PageIndex page, std::uint32_t ms) {
    const PageEntry &entry = table_[page];
    const bool unused = entry.origin != Origin::guest && entry.has(page_flags::watched);
    if (unused)
        ++counters_.prefetch.wasted[index_of(entry.origin)];
    if (log_)
        note_access(
            {page, 1, unused ? AccessKind::wasted : AccessKind::left, entry.origin, false, ms});
}

// All of the run but the page that was used.
void Backend::log_came_along(PageRun run, PageIndex used) {
    for (const PageRun part : {PageRun{run.first, used.value - run.first.value},
                               PageRun{used.next(), run.end().value - used.next().value}})
        if (part.count != 0)
            log_access(part, AccessKind::came_along, Origin::guest, false);
}

std::uint64_t &Backend::issued(Origin origin) {
    return counters_.prefetch.issued[index_of(origin)];
}

bool Backend::follows(Origin origin) const {
    return config_.prefetch && (config_.predictors & bit(origin)) != 0;
}

std::uint64_t Backend::take_accesses(std::vector<Access> &accesses,
                                     std::chrono::milliseconds patience) {
    MutexLock lock(mutex_);
    if (!stopping_ && !(log_ && log_->half_full()))
        learn_work_.wait_for(mutex_, patience);
    accesses.clear();
    return log_ ? log_->take(accesses) : 0;
}

void Backend::wake_learner() {
    MutexLock lock(mutex_);
    learn_work_.notify_all();
}

void Backend::by_region(std::vector<std::uint16_t> &resident,
                        std::vector<std::uint16_t> &probation) {
    MutexLock lock(mutex_);
    resident.clear();
    probation.clear();
    for (std::uint32_t page = 0; page < pages_; page += kRegionPages) {
        const RegionEntry &region = table_.region_of(PageIndex{page});
        resident.push_back(region.resident);
        probation.push_back(region.probation);
    }
}

// Unlocked in between: all of a large block would keep faults waiting for milliseconds.
ContentSketch Backend::content_sketch() {
    constexpr std::uint32_t kAtOnce = 8 * kRegionPages;
    ContentSketch sketch;
    for (std::uint32_t first = 0; first < pages_; first += kAtOnce) {
        MutexLock lock(mutex_);
        const std::uint32_t end = std::min(pages_, first + kAtOnce);
        for (std::uint32_t page = first; page < end; ++page)
            if (const std::uint64_t checksum = table_[PageIndex{page}].checksum; checksum != 0)
                sketch.add(checksum);
    }
    return sketch;
}

} // namespace tidemark
