// SPDX-License-Identifier: GPL-2.0-or-later
//
// How bytes get into R: copied, as zeros, or moved there as the huge page they are in; the spare huge
// pages that are kept for that; and small pages made one huge page again.
//
// A spare is a region of S whose pages have all been written back or taken back: 2 MiB of DRAM that
// nobody needs. It stays charged and marked stale, so nothing is staged there, until it is moved into R
// (then R has the charge) or dropped.
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

namespace tidemark {

namespace {
constexpr int kBusyAttempts = 8;
constexpr std::uint32_t kSparesMost = 4;
} // namespace

// Maps bytes (or zeros) at run and wakes who waits. Ends only when every page is there, or R is gone.
void Backend::map_in(PageRun run, const std::byte *bytes) {
    while (run.count != 0) {
        const RunResult result =
            bytes != nullptr ? memory_->copy_in(run, bytes) : memory_->zero_in(run);
        const std::uint32_t settled = settle_mapping(run, result);
        run = {run.first.next(settled), run.count - settled};
        if (bytes != nullptr)
            bytes += settled * kPageSize;
    }
}

// The same by moving the pages of a frame, or of S if that is where bytes are. Empties it.
void Backend::move_in(PageRun run, std::byte *bytes, PageRun spare) {
    const PageRun from = spare;
    for (int busy = 0; run.count != 0;) {
        const RunResult result = spare.count != 0 ? memory_->move_shadow_in(run, spare.first)
                                                  : memory_->move_in(run, bytes);
        if (result.error == EBUSY && result.done == 0 && ++busy < kBusyAttempts) {
            std::this_thread::yield(); // the kernel lets go of what it has just read into
            continue;
        }
        if (result.error == EBUSY || result.error == EINVAL || result.error == ENOENT) {
            // Pinned, or not to be moved: the bytes are there all the same.
            run = {run.first.next(result.done), run.count - result.done};
            map_in(run, bytes + result.done * kPageSize);
            break;
        }
        const std::uint32_t settled = settle_mapping(run, result);
        run = {run.first.next(settled), run.count - settled};
        bytes += settled * kPageSize;
        spare.first = spare.first.next(settled);
    }
    // What was copied or not needed has been left behind.
    if (from.count != 0)
        TIDEMARK_CHECK(memory_->drop_shadow({&from, 1}) == 0);
}

// What is to be done about the errors of mapping. Returns how many pages of run need no more work.
std::uint32_t Backend::settle_mapping(PageRun run, RunResult result) {
    switch (result.error) {
    case 0:
        return result.done;
    case EAGAIN: // the mapping is changing (a fork, a mprotect): once more
        std::this_thread::yield();
        return result.done;
    case EEXIST: // it is there already: whoever waits must only be told
        memory_->wake({run.first.next(result.done), 1});
        return result.done + 1;
    case ENOENT: // R is being unmapped: the guest is going away
    case ESRCH:  // so is the process
        return run.count;
    case ENOMEM: // the host is out of memory for a moment; the guest waits, as for any host OOM
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return result.done;
    default:
        TIDEMARK_CHECK(false && "userfaultfd refused to map a page");
        return run.count;
    }
}

// A huge page of zeros takes the place of an empty region, page table and all.
void Backend::fill_region(PageRun region, PageRun spare, Frame &frame) {
    TIDEMARK_CHECK(memory_->drop_guest(region) == 0);
    if (spare.count != 0) {
        std::byte *const bytes = memory_->shadow(spare.first);
        std::memset(bytes, 0, bytes_of(spare.count));
        move_in(region, bytes, spare);
    } else if (frame.fill() == 0) {
        move_in(region, frame.data(), {});
        frame.drop(); // empty already unless something kept a page from moving
    } else {
        map_in(region, nullptr);
    }
}

// S's huge page returns to where it came from.
void Backend::move_back(PageRun region) {
    TIDEMARK_CHECK(memory_->drop_guest(region) == 0); // its page table
    move_in(region, memory_->shadow(region.first), region);
}

// The kernel clears a page before it gives it to us. What eviction has just emptied saves that.
bool Backend::take_spare(PageRun &spare) {
    if (spares_.empty())
        return false;
    spare = spares_.back();
    spares_.pop_back();
    return true;
}

bool Backend::keep_spare(PageRun spare) {
    const std::uint32_t most = std::min(kSparesMost, limit_pages_ / 64 / kRegionPages);
    if (!regions_expected_ || spares_.size() >= most || free_pages() == 0)
        return false;
    spares_.push_back(spare);
    return true;
}

void Backend::give_spare(PageRun spare) {
    if (!keep_spare(spare))
        add_stale(spare);
}

// Its huge page has become one of R, and its charge with it.
void Backend::spare_moved(PageRun spare) {
    for (PageIndex page = spare.first; page < spare.end(); page = page.next())
        table_[page].clear(page_flags::shadow_stale);
    if (spare.count != 0)
        table_.region_of(spare.first).shadow_huge = false;
    if (transit_waiters_ != 0)
        transit_done_.notify_all();
}

void Backend::drop_spares() {
    for (const PageRun spare : spares_)
        add_stale(spare);
    spares_.clear();
}

// Pages of a region that came back one by one, all in DRAM by now: hot memory. It gets its huge page back
// by way of S, while the guest waits for any of them for the time of a 2 MiB copy. (MADV_COLLAPSE takes
// milliseconds here, and keeps the guest from its whole memory meanwhile.) False: nothing to do.
bool Backend::unite_region() {
    Frame &frame = *unite_frame_;
    PageRun region;
    {
        MutexLock lock(mutex_);
        region = take_scattered();
    }
    if (region.count == 0)
        return false;
    move_out(region);
    bool whole = true;
    {
        MutexLock lock(mutex_);
        staging_ = false;
        for (PageIndex page = region.first; page < region.end(); page = page.next())
            whole = whole && table_[page].state == PageState::staged;
        for (PageIndex page = region.first; whole && page < region.end(); page = page.next()) {
            table_.set_state(page, PageState::filling);
            table_[page].set(page_flags::shadow_reading);
        }
        if (!whole) // the guest was quicker, or a page is pinned: it takes the others back as it needs them
            uncharge(kRegionPages);
    }
    if (!whole)
        return true;
    if (frame.fill() == 0) {
        std::memcpy(frame.data(), memory_->shadow(region.first), bytes_of(region.count));
        TIDEMARK_CHECK(memory_->drop_guest(region) == 0); // its page table
        move_in(region, frame.data(), {});
    } else {
        map_in(region, memory_->shadow(region.first));
    }
    frame.drop();
    MutexLock lock(mutex_);
    for (PageIndex page = region.first; page < region.end(); page = page.next()) {
        table_[page].clear(page_flags::shadow_reading);
        retire_shadow(page);
    }
    finish_region(region, EnterReason::put_back, coarse_now());
    return true;
}

// The next region that is all resident but no huge page, its pages in state staging, and 2 MiB charged; or
// an empty run. Not while a guest walks, which needs the reserve and leaves nothing behind that is hot.
PageRun Backend::take_scattered() {
    if (!armed_ || stopping_ || staging_ || regions_expected_ || !memory_->huge_aligned() ||
        free_pages() < kRegionPages + reserve_low_ / 2)
        return {};
    for (std::uint32_t seen = 0; seen < pages_; seen += kRegionPages) {
        const PageRun region = table_.region_run(unite_hand_);
        unite_hand_ = region.end().value < pages_ ? region.end() : PageIndex{0};
        const RegionEntry &entry = table_.region_of(region.first);
        constexpr std::uint8_t any = 255;
        if (entry.resident != kRegionPages || entry.huge || !whole_region_cold(region, any))
            continue;
        take_region(region);
        staging_ = true;
        charged_ += kRegionPages;
        return region;
    }
    return {};
}

} // namespace tidemark
