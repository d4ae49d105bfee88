// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the engine asks of the kernel about one block of guest RAM.
//
//   R  the guest's RAM: private anonymous memory given by the caller
//   S  the shadow: as large as R, address space only until pages are moved into it
//
// Both are registered with one userfaultfd (MISSING). Every call is thread-safe. Calls on a run return
// how many leading pages were done and the errno that stopped the rest, so that each errno has a
// branch of its own in the engine:
//   EEXIST  the destination page is there already     ENOENT  a hole (move_out) or R is unmapped
//   EBUSY   the page is pinned or shared              EAGAIN  the mapping changed; try again
// A page of a frame can be EBUSY for a moment after a read into it: the disk's completion comes first,
// and only then does the kernel let go of the page.
#pragma once

#include "base/result.h"
#include "base/units.h"
#include "sys/service_queue.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace tidemark {

struct RunResult {
    std::uint32_t done = 0; // leading pages done
    int error = 0;          // positive errno of the first page not done; 0 if all were
};

// Implemented by sys/userfaultfd_memory.cc and, with injected faults, by sys/fake_memory.cc.
class GuestMemory {
  public:
    virtual ~GuestMemory() = default;

    // Registers R and S, asks for huge pages in R (they come by move_in() only; absent
    // pages still fault one by one) and excludes S from fork. Idempotent.
    virtual Result<void> arm() = 0;
    // R starts on a 2 MiB boundary, so that a frame can become a huge page of it.
    virtual bool huge_aligned() const = 0;
    // One flag per page of R: is a page mapped there now. After arm(), with no fault being served.
    virtual Result<std::vector<bool>> mapped_pages() = 0;

    // Where the faults come in, with reads of these disks. One queue at a time; it goes before the memory
    // and the disks do. depth: most reads in flight.
    virtual Result<std::unique_ptr<ServiceQueue>> open_service(std::span<Disk *const> disks,
                                                               std::uint32_t depth) = 0;

    // R[i] -> S[i], atomically unmapping R[i].
    virtual RunResult move_out(PageRun run) = 0;
    // bytes -> R[i] for an unmapped R[i], waking who waits for it. bytes is run.count pages long.
    virtual RunResult copy_in(PageRun run, const std::byte *bytes) = 0;
    // bytes -> S[i], for a page that is to wait there: nobody else's place.
    virtual RunResult copy_shadow(PageRun run, const std::byte *bytes) = 0;
    // Moves pages of a Frame into R[i] for unmapped R[i], waking who waits; a whole aligned 2 MiB stays
    // one huge page. What was moved is gone from the frame. frame: the page that becomes run.first.
    // Where single pages were before, their page table is in the way of a huge page, and the frame
    // arrives page by page (0.4 ms): drop_guest() of the whole empty 2 MiB removes it (Linux 6.14, 2 us).
    virtual RunResult move_in(PageRun run, std::byte *frame) = 0;
    // The same from S[from] on, where evicted huge pages are used again.
    virtual RunResult move_shadow_in(PageRun run, PageIndex from) = 0;
    // Maps zeroed pages at R[i], waking who waits.
    virtual RunResult zero_in(PageRun run) = 0;
    // Accesses to R[i] get SIGBUS (a memory error) from now on.
    virtual RunResult poison(PageRun run) = 0;
    // Wakes who waits for R[i] without mapping anything: they fault again if nothing is there.
    virtual void wake(PageRun run) = 0;

    // Give DRAM back. Returns 0 or a positive errno. Dropping a hole is fine.
    virtual int drop_shadow(std::span<const PageRun> runs) = 0;
    virtual int drop_guest(PageRun run) = 0;

    // The bytes of S[i]; only while the engine knows the page is there.
    virtual std::byte *shadow(PageIndex page) const = 0;
    // Copies one mapped page of R; 0 or a positive errno (EFAULT if it went away: never blocks on a fault).
    virtual int peek_guest(PageIndex page, std::span<std::byte, kPageSize> out) = 0;
};

// host must be page aligned and stay mapped while the object lives. Fails with a sentence that says
// which file or sysctl to change if userfaultfd is not permitted or too old (needs MISSING, MOVE,
// POISON, THREAD_ID). id names the block in messages.
Result<std::unique_ptr<GuestMemory>> make_userfaultfd_memory(const char *id, void *host,
                                                             std::uint32_t pages);
// The same permission and feature check without memory.
Result<void> probe_userfaultfd();

} // namespace tidemark
