// SPDX-License-Identifier: GPL-2.0-or-later
//
// GuestMemory without a kernel, for tests: byte arrays with a flag per page, the kernel's rules for what
// may move where, and errors that appear by seed or by script. Threads are real: touch() blocks like a
// vCPU until some engine thread maps the page.
#pragma once

#include "base/mutex.h"
#include "sys/guest_memory.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <utility>

namespace tidemark {

class FakeMemory final : public GuestMemory {
  public:
    enum class Call : std::uint8_t { move_out, copy_in, move_in, poison, drop_shadow, drop_guest };
    static constexpr std::size_t kCalls = 6;
    enum class Touch : std::uint8_t { done, poisoned, stopped };

    FakeMemory(std::uint32_t pages, std::uint64_t seed);

    // --- what a test does to it ---

    // Runs `access` on the page's bytes as a vCPU would: faults and waits while the page is absent.
    // poisoned: the guest would have got a memory error. stopped: give_up() was called.
    Touch touch(PageIndex page, bool write,
                const std::function<void(std::span<std::byte, kPageSize>)> &access);
    // Ends every touch() that waits, now and later.
    void give_up();
    // A device does I/O into the page: it can't be moved (EBUSY) until unpinned.
    void pin(PageIndex page);
    void unpin(PageIndex page);
    // Before each page of such a call, fails with `error` at the given chance (per mille).
    void set_error_chance(Call call, int error, std::uint32_t per_mille);
    // The next `times` calls of the kind fail at once with `error`.
    void script_error(Call call, int error, std::uint32_t times = 1);

    // As if R did not start on a 2 MiB boundary. Before the engine gets it.
    void set_huge_aligned(bool aligned) { huge_aligned_ = aligned; }

    bool guest_present(PageIndex page) const;
    // The 2 MiB of R around the page are one huge page.
    bool guest_huge(PageIndex page) const;
    bool shadow_present(PageIndex page) const;
    bool poisoned(PageIndex page) const;
    // Pages of R and S that take DRAM now, and the most there ever were since the last reset.
    std::uint32_t dram_pages() const;
    std::uint32_t dram_peak() const;
    void reset_dram_peak();
    std::uint64_t injected_errors() const;

    // For its ServiceQueue: the faults there are; and a wait for new ones, but not for long.
    std::size_t take_faults(std::span<FaultMessage> messages);
    void wait_for_faults();

    // --- GuestMemory ---
    Result<void> arm() override;
    bool huge_aligned() const override { return huge_aligned_; }
    Result<std::vector<bool>> mapped_pages() override;
    Result<std::unique_ptr<ServiceQueue>> open_service(std::span<Disk *const> disks,
                                                       std::uint32_t depth) override;
    RunResult move_out(PageRun run) override;
    RunResult copy_in(PageRun run, const std::byte *bytes) override;
    RunResult copy_shadow(PageRun run, const std::byte *bytes) override;
    RunResult move_in(PageRun run, std::byte *frame) override;
    RunResult move_shadow_in(PageRun run, PageIndex from) override;
    RunResult zero_in(PageRun run) override;
    RunResult poison(PageRun run) override;
    void wake(PageRun run) override;
    int drop_shadow(std::span<const PageRun> runs) override;
    int drop_guest(PageRun run) override;
    std::byte *shadow(PageIndex page) const override;
    int peek_guest(PageIndex page, std::span<std::byte, kPageSize> out) override;

  private:
    struct Waiter {
        PageIndex page;
        bool woken = false;
    };
    struct Injection {
        int error = 0;
        std::uint32_t per_mille = 0;
        std::deque<int> script;
    };

    int injected(Call call) TIDEMARK_REQUIRES(mutex_);
    int injected_scripted(Call call) TIDEMARK_REQUIRES(mutex_);
    void wake_page(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    void count_dram(std::int64_t change) TIDEMARK_REQUIRES(mutex_);
    void check_run(PageRun run) const;
    RunResult fill(Call call, PageRun run, const std::byte *bytes) TIDEMARK_REQUIRES(mutex_);
    bool whole_region(PageRun run) const;
    void map_page(PageIndex page, const std::byte *bytes) TIDEMARK_REQUIRES(mutex_);
    void unmap_page(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    std::byte *guest_bytes(PageIndex page) { return &guest_[page.byte_offset()]; }
    std::byte *shadow_bytes(PageIndex page) const { return &shadow_[page.byte_offset()]; }

    const std::uint32_t pages_;
    bool huge_aligned_ = true;
    // Zeros, of which only those touched take memory: a guest may be large.
    struct Free {
        void operator()(std::byte *bytes) const;
    };
    using Bytes = std::unique_ptr<std::byte[], Free>;
    static Bytes zeros(std::uint32_t pages);
    Bytes guest_, shadow_;

    mutable Mutex mutex_;
    CondVar changed_; // a waiter was woken, a fault queued, or the end declared
    std::vector<bool> guest_present_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<bool> guest_huge_ TIDEMARK_GUARDED_BY(mutex_); // by region
    std::vector<bool> shadow_present_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<bool> poisoned_ TIDEMARK_GUARDED_BY(mutex_);
    std::set<PageIndex> pinned_ TIDEMARK_GUARDED_BY(mutex_);
    std::deque<FaultMessage> faults_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<Waiter *> waiters_ TIDEMARK_GUARDED_BY(mutex_);
    std::array<Injection, kCalls> injections_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint64_t random_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint64_t injected_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint32_t dram_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint32_t dram_peak_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    bool armed_ TIDEMARK_GUARDED_BY(mutex_) = false;
    bool gave_up_ TIDEMARK_GUARDED_BY(mutex_) = false;
};

} // namespace tidemark
