// SPDX-License-Identifier: GPL-2.0-or-later
//
// A disk in memory, for tests: errors, bit flips and lost writes by seed or by script. Pages never
// written read as zeros, like a sparse file.
#pragma once

#include "base/mutex.h"
#include "sys/disk.h"

#include <array>
#include <map>

namespace tidemark {

// Shared by the FakeDisk and the test that steers it, so it outlives the tier that owns the disk.
class FakeDiskState {
  public:
    FakeDiskState(std::uint64_t size, std::uint64_t seed) : size_(size), random_(seed) {}

    // Chances per mille and request.
    struct Chances {
        std::uint32_t read_error = 0;  // EIO
        std::uint32_t write_error = 0; // EIO
        std::uint32_t no_space = 0;    // ENOSPC on write
        std::uint32_t bit_flip = 0;    // one bit of one page read is wrong, this time only
        std::uint32_t lost_write = 0;  // reported as done, one page keeps its old bytes
        std::uint32_t torn_write = 0;  // EIO, but some leading pages were written
        std::uint32_t not_yet = 0;     // try_one() finds nothing finished
    };
    void set_chances(Chances chances);
    // The next `times` reads (writes) that cover `offset` fail with `error`.
    void fail_reads_at(std::uint64_t offset, int error, std::uint32_t times);
    void fail_writes_at(std::uint64_t offset, int error, std::uint32_t times);
    // The next `times` writes fail with `error`, wherever they go.
    void fail_writes(int error, std::uint32_t times);
    void fail_discards(int error, std::uint32_t times);
    // Flips a bit of the stored page for good.
    void corrupt(std::uint64_t offset);
    // While held, requests stay in flight: wait_one() blocks, try_one() finds nothing.
    void hold();
    void let_go();

    std::uint64_t reads() const;
    std::uint64_t writes() const;
    std::uint64_t injected() const;
    std::uint64_t stored_pages() const;
    std::uint64_t size() const { return size_; }

    void run(IoRequest &request); // for FakeQueue
    int discard(std::uint64_t offset, std::uint64_t length);
    void wait_until_let_go();
    bool ready(); // something in flight could finish now

  private:
    using Page = std::array<std::byte, kPageSize>;
    struct Script {
        int error;
        std::uint32_t times;
    };

    int scripted(std::map<std::uint64_t, Script> &scripts, const IoRequest &request)
        TIDEMARK_REQUIRES(mutex_);
    int write_error(const IoRequest &request) TIDEMARK_REQUIRES(mutex_);
    int read_error(const IoRequest &request) TIDEMARK_REQUIRES(mutex_);
    void write_pages(const IoRequest &request, std::uint64_t pages, std::uint64_t skipped)
        TIDEMARK_REQUIRES(mutex_);
    void read_pages(const IoRequest &request) TIDEMARK_REQUIRES(mutex_);

    const std::uint64_t size_;
    mutable Mutex mutex_;
    CondVar let_go_;
    bool held_ TIDEMARK_GUARDED_BY(mutex_) = false;
    std::uint64_t random_ TIDEMARK_GUARDED_BY(mutex_);
    Chances chances_ TIDEMARK_GUARDED_BY(mutex_);
    std::map<std::uint64_t, Page> pages_ TIDEMARK_GUARDED_BY(mutex_); // by offset
    std::map<std::uint64_t, Script> read_scripts_ TIDEMARK_GUARDED_BY(mutex_);
    std::map<std::uint64_t, Script> write_scripts_ TIDEMARK_GUARDED_BY(mutex_);
    Script all_writes_ TIDEMARK_GUARDED_BY(mutex_){0, 0};
    Script discards_ TIDEMARK_GUARDED_BY(mutex_){0, 0};
    std::uint64_t reads_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint64_t writes_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint64_t injected_ TIDEMARK_GUARDED_BY(mutex_) = 0;
};

std::unique_ptr<Disk> make_fake_disk(std::shared_ptr<FakeDiskState> state);

} // namespace tidemark
