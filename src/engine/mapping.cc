// SPDX-License-Identifier: GPL-2.0-or-later
//
// How bytes get into R: copied, as zeros, or moved there as the huge page they are in; and the spare
// huge pages that are kept for that.
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

} // namespace tidemark
