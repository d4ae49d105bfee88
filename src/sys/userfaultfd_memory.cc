// SPDX-License-Identifier: GPL-2.0-or-later
//
// GuestMemory on the real kernel.
#include "sys/guest_memory.h"

#include "base/check.h"
#include "sys/pagemap.h"
#include "sys/range_ioctl.h"
#include "sys/uapi_mman.h"
#include "sys/uapi_userfaultfd.h"
#include "sys/unique_fd.h"
#include "sys/uring_service.h"
#include "sys/userfaultfd_open.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

namespace tidemark {
namespace {

constexpr std::uint32_t kZeroPages = 16;
constexpr std::size_t kHugeSize = std::size_t{2} << 20;

// UFFDIO_ZEROPAGE would map the shared zero page, and the write that usually follows would fault a
// second time; a copy of zeros costs less than that fault.
alignas(kPageSize) constexpr std::array<std::byte, kZeroPages * kPageSize> kZeros{};

__u64 address_of(const void *pointer) {
    return reinterpret_cast<__u64>(pointer);
}

class UserfaultfdMemory final : public GuestMemory {
  public:
    UserfaultfdMemory(std::string id, std::byte *host, std::uint32_t pages, UniqueFd uffd,
                      UniqueFd self)
        : id_(std::move(id)), host_(host), pages_(pages), bytes_(std::size_t{pages} * kPageSize),
          uffd_(std::move(uffd)), self_(std::move(self)) {}
    ~UserfaultfdMemory() override;
    UserfaultfdMemory(const UserfaultfdMemory &) = delete;
    UserfaultfdMemory &operator=(const UserfaultfdMemory &) = delete;

    Result<void> map_shadow();

    Result<void> arm() override;
    bool huge_aligned() const override { return address_of(host_) % kHugeSize == 0; }
    Result<std::vector<bool>> mapped_pages() override;
    Result<std::unique_ptr<ServiceQueue>> open_service(std::span<Disk *const> disks,
                                                       std::uint32_t depth) override;
    RunResult move_out(PageRun run) override;
    RunResult copy_in(PageRun run, const std::byte *bytes) override;
    RunResult copy_shadow(PageRun run, const std::byte *bytes) override;
    RunResult copy(PageRun run, const std::byte *bytes, std::byte *to);
    RunResult move_in(PageRun run, std::byte *frame) override;
    RunResult move_shadow_in(PageRun run, PageIndex from) override;
    RunResult zero_in(PageRun run) override;
    RunResult poison(PageRun run) override;
    void wake(PageRun run) override;
    int drop_shadow(std::span<const PageRun> runs) override;
    int drop_guest(PageRun run) override;
    std::byte *shadow(PageIndex page) const override { return shadow_ + page.byte_offset(); }
    int peek_guest(PageIndex page, std::span<std::byte, kPageSize> out) override;

  private:
    Result<void> register_range(std::byte *start, const char *what);
    Result<void> probe_move();
    RunResult move(PageRun run, std::byte *from, std::byte *to);
    static bool moved_untold(const std::byte *from, const std::byte *to);
    FaultMessage translate(const uffd_msg &message) const;
    bool in_block(PageRun run) const {
        return run.count <= pages_ && run.first.value <= pages_ - run.count;
    }
    int drop_many(std::span<const PageRun> runs);

    const std::string id_;
    std::byte *const host_;
    const std::uint32_t pages_;
    const std::size_t bytes_;
    UniqueFd uffd_;
    UniqueFd self_; // pidfd of this process, for process_madvise()
    std::byte *shadow_ = nullptr;
    std::byte *shadow_map_ = nullptr; // what mmap gave; shadow_ is aligned within
    std::size_t shadow_map_bytes_ = 0;
    std::atomic<bool> armed_{false};
    bool drop_in_batches_ = false; // set by arm(), before armed_
};

UserfaultfdMemory::~UserfaultfdMemory() {
    // Closing would unregister too, but only after S is unmapped; this way whoever still waits for
    // a page of R is woken while everything is in place.
    uffdio_range range{address_of(host_), bytes_};
    ioctl(uffd_.get(), UFFDIO_UNREGISTER, &range);
    if (shadow_map_ != nullptr) {
        range.start = address_of(shadow_);
        ioctl(uffd_.get(), UFFDIO_UNREGISTER, &range);
        munmap(shadow_map_, shadow_map_bytes_);
    }
}

Result<void> UserfaultfdMemory::map_shadow() {
    // S lies at the same place within a 2 MiB page as R, so that a huge page of R moves in one
    // piece.
    shadow_map_bytes_ = bytes_ + kHugeSize;
    void *map = mmap(nullptr, shadow_map_bytes_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return fail(errno, "memory block '" + id_ + "': no address space for a shadow of " +
                               std::to_string(bytes_) + " bytes: " + std::strerror(errno));
    shadow_map_ = static_cast<std::byte *>(map);
    const std::size_t want = address_of(host_) % kHugeSize;
    const std::size_t have = address_of(map) % kHugeSize;
    shadow_ = shadow_map_ + (want + kHugeSize - have) % kHugeSize;
    // A child of fork() would share the staged pages, and a shared page can't be moved. Kernels without
    // huge pages answer EINVAL to the second; then there is nothing to turn off.
    if (madvise(map, shadow_map_bytes_, MADV_DONTFORK) != 0 ||
        (madvise(map, shadow_map_bytes_, MADV_NOHUGEPAGE) != 0 && errno != EINVAL))
        return fail(errno, "memory block '" + id_ +
                               "': madvise() on the shadow failed: " + std::strerror(errno));
    return {};
}

Result<void> UserfaultfdMemory::register_range(std::byte *start, const char *what) {
    uffdio_register request{};
    request.range = {address_of(start), bytes_};
    request.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (ioctl(uffd_.get(), UFFDIO_REGISTER, &request) == 0)
        return {};
    switch (errno) {
    case EBUSY:
        return fail(EBUSY, "memory block '" + id_ + "': its " + what +
                               " is registered with another userfaultfd (postcopy or a background "
                               "snapshot is active); only one user at a time is possible");
    case EINVAL:
        return fail(EINVAL, "memory block '" + id_ + "': its " + what +
                                " is not private anonymous memory, or not mapped as a whole");
    default: {
        const int error = errno;
        return fail(error,
                    "memory block '" + id_ + "': its " + what +
                        " could not be registered with userfaultfd: " + std::strerror(error));
    }
    }
}

// Registering accepts more than a move does: shared and locked memory. S is a hole throughout, so a move
// from there can't do anything; it only tells whether the kernel would.
Result<void> UserfaultfdMemory::probe_move() {
    uffdio_move request{};
    request.src = address_of(shadow_);
    request.dst = address_of(host_);
    request.len = kPageSize;
    if (ioctl(uffd_.get(), UFFDIO_MOVE, &request) == 0 || errno != EINVAL)
        return {};
    for (std::byte *start : {host_, shadow_}) {
        uffdio_range range{address_of(start), bytes_};
        ioctl(uffd_.get(), UFFDIO_UNREGISTER, &range);
    }
    return fail(EINVAL,
                "memory block '" + id_ +
                    "': its pages can't be moved; RAM that is private anonymous memory, readable "
                    "and writable, and not locked (mlock, mem-lock=on) is needed");
}

Result<void> UserfaultfdMemory::arm() {
    if (armed_.load(std::memory_order_acquire))
        return {};
    // Nobody fills holes behind our back: while R is registered, the kernel neither maps a huge page at
    // an absent one nor collapses 2 MiB with absent pages. EINVAL: a kernel without huge pages.
    if (madvise(host_, bytes_, MADV_HUGEPAGE) != 0 && errno != EINVAL)
        return fail(errno, "memory block '" + id_ +
                               "': huge pages could not be asked for: " + std::strerror(errno));
    if (Result<void> done = register_range(host_, "RAM"); !done)
        return done;
    if (Result<void> done = register_range(shadow_, "shadow"); !done)
        return done;
    if (Result<void> done = probe_move(); !done)
        return done;
    // Linux 6.13 and later let a process give its own scattered ranges back in one call, with one
    // TLB shootdown. S is empty now, so asking about its first page changes nothing.
    iovec probe{shadow_, kPageSize};
    drop_in_batches_ = self_.valid() && syscall(SYS_process_madvise, self_.get(), &probe, 1UL,
                                                MADV_DONTNEED, 0U) == static_cast<long>(kPageSize);
    armed_.store(true, std::memory_order_release);
    return {};
}

Result<std::vector<bool>> UserfaultfdMemory::mapped_pages() {
    return read_pagemap(address_of(host_), pages_);
}

FaultMessage UserfaultfdMemory::translate(const uffd_msg &message) const {
    const __u64 address = message.arg.pagefault.address;
    FaultMessage fault;
    fault.write = (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE) != 0;
    fault.thread_id = static_cast<std::int32_t>(message.arg.pagefault.feat.ptid);
    // Unsigned: an address below the start is far above the end.
    __u64 offset = address - address_of(host_);
    if (offset >= bytes_) {
        offset = address - address_of(shadow_);
        fault.in_shadow = true;
        TIDEMARK_CHECK(offset < bytes_);
    }
    fault.page = PageIndex{static_cast<std::uint32_t>(offset / kPageSize)};
    return fault;
}

Result<std::unique_ptr<ServiceQueue>> UserfaultfdMemory::open_service(std::span<Disk *const> disks,
                                                                      std::uint32_t depth) {
    auto queue = UringService::open(uffd_.get(), disks, depth,
                                    [this](const uffd_msg &message) { return translate(message); });
    if (!queue)
        return fail(queue.error().code, "memory block '" + id_ + "': " + queue.error().sentence);
    return std::unique_ptr<ServiceQueue>(std::move(*queue));
}

// from and to: the pages of run.first. Before R is registered a move out of it would succeed, and the next
// touch would silently read zeros.
RunResult UserfaultfdMemory::move(PageRun run, std::byte *from, std::byte *to) {
    TIDEMARK_CHECK(armed_.load(std::memory_order_acquire));
    TIDEMARK_CHECK(in_block(run));
    return run_ioctl(run.count, [&](std::uint32_t done) {
        uffdio_move request{};
        request.src = address_of(from + bytes_of(done));
        request.dst = address_of(to + bytes_of(done));
        request.len = bytes_of(run.count - done);
        const int rc = ioctl(uffd_.get(), UFFDIO_MOVE, &request);
        const __s64 moved = count_of(rc, errno, request.move);
        if (moved != -EEXIST || !moved_untold(from + bytes_of(done), to + bytes_of(done)))
            return moved;
        uffdio_range range{address_of(to + bytes_of(done)), kPageSize};
        TIDEMARK_CHECK(ioctl(uffd_.get(), UFFDIO_WAKE, &range) == 0);
        return static_cast<__s64>(kPageSize);
    });
}

// Linux 6.18 moves pages in batches. One that had to be tried again inside the kernel (a page was just being
// migrated by memory compaction) is moved a second time although it is there, and reported as EEXIST. While a run is
// being moved nobody else empties its source or fills its destination: the page went from one to the other.
bool UserfaultfdMemory::moved_untold(const std::byte *from, const std::byte *to) {
    const auto left = read_pagemap(address_of(from), 1), there = read_pagemap(address_of(to), 1);
    return left && there && !left->front() && there->front();
}

RunResult UserfaultfdMemory::move_out(PageRun run) {
    const std::uint64_t offset = run.first.byte_offset();
    return move(run, host_ + offset, shadow_ + offset);
}

RunResult UserfaultfdMemory::move_in(PageRun run, std::byte *frame) {
    return move(run, frame, host_ + run.first.byte_offset());
}

RunResult UserfaultfdMemory::move_shadow_in(PageRun run, PageIndex from) {
    TIDEMARK_CHECK(in_block({from, run.count}));
    return move_in(run, shadow(from));
}

RunResult UserfaultfdMemory::copy_in(PageRun run, const std::byte *bytes) {
    return copy(run, bytes, host_ + run.first.byte_offset());
}

RunResult UserfaultfdMemory::copy_shadow(PageRun run, const std::byte *bytes) {
    return copy(run, bytes, shadow_ + run.first.byte_offset());
}

// to: the page of run.first.
RunResult UserfaultfdMemory::copy(PageRun run, const std::byte *bytes, std::byte *to) {
    TIDEMARK_CHECK(in_block(run));
    return run_ioctl(run.count, [&](std::uint32_t done) {
        uffdio_copy request{};
        request.dst = address_of(to + bytes_of(done));
        request.src = address_of(bytes + bytes_of(done));
        request.len = bytes_of(run.count - done);
        const int rc = ioctl(uffd_.get(), UFFDIO_COPY, &request);
        return count_of(rc, errno, request.copy);
    });
}

RunResult UserfaultfdMemory::zero_in(PageRun run) {
    RunResult result;
    while (result.done < run.count && result.error == 0) {
        const std::uint32_t count = std::min(kZeroPages, run.count - result.done);
        const RunResult part = copy_in({run.first.next(result.done), count}, kZeros.data());
        result.done += part.done;
        result.error = part.error;
    }
    return result;
}

RunResult UserfaultfdMemory::poison(PageRun run) {
    TIDEMARK_CHECK(in_block(run));
    return run_ioctl(run.count, [&](std::uint32_t done) {
        uffdio_poison request{};
        request.range.start = address_of(host_ + run.first.next(done).byte_offset());
        request.range.len = bytes_of(run.count - done);
        const int rc = ioctl(uffd_.get(), UFFDIO_POISON, &request);
        return count_of(rc, errno, request.updated);
    });
}

void UserfaultfdMemory::wake(PageRun run) {
    TIDEMARK_CHECK(in_block(run));
    uffdio_range range{address_of(host_ + run.first.byte_offset()), bytes_of(run.count)};
    TIDEMARK_CHECK(ioctl(uffd_.get(), UFFDIO_WAKE, &range) == 0);
}

int UserfaultfdMemory::drop_many(std::span<const PageRun> runs) {
    std::array<iovec, 64> parts;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (const PageRun &run : runs.first(std::min(runs.size(), parts.size()))) {
        parts[count++] = {shadow_ + run.first.byte_offset(), bytes_of(run.count)};
        bytes += bytes_of(run.count);
    }
    const long done =
        syscall(SYS_process_madvise, self_.get(), parts.data(), count, MADV_DONTNEED, 0U);
    if (done == static_cast<long>(bytes))
        return 0;
    // Interrupted half way, or refused: one by one. Dropping a range twice is harmless.
    for (std::size_t i = 0; i < count; ++i) {
        if (madvise(parts[i].iov_base, parts[i].iov_len, MADV_DONTNEED) != 0)
            return errno;
    }
    return 0;
}

int UserfaultfdMemory::drop_shadow(std::span<const PageRun> runs) {
    for (const PageRun &run : runs)
        TIDEMARK_CHECK(in_block(run));
    const std::size_t at_once = armed_.load(std::memory_order_acquire) && drop_in_batches_ ? 64 : 1;
    while (!runs.empty()) {
        const std::span<const PageRun> batch = runs.first(std::min(runs.size(), at_once));
        int error = 0;
        if (batch.size() > 1)
            error = drop_many(batch);
        else if (madvise(shadow_ + batch[0].first.byte_offset(), bytes_of(batch[0].count),
                         MADV_DONTNEED) != 0)
            error = errno;
        if (error != 0)
            return error;
        runs = runs.subspan(batch.size());
    }
    return 0;
}

int UserfaultfdMemory::drop_guest(PageRun run) {
    TIDEMARK_CHECK(in_block(run));
    return madvise(host_ + run.first.byte_offset(), bytes_of(run.count), MADV_DONTNEED) == 0
               ? 0
               : errno;
}

// No call of the kernel reads user memory without the chance to wait for a userfaultfd
// (process_vm_readv and /proc/self/mem both do), so this is a plain copy: the caller has seen the
// page resident and keeps it from being moved out or dropped until the call returns. Then nothing
// can fault, except on a page that the host has swapped out, and that fault does not involve us.
int UserfaultfdMemory::peek_guest(PageIndex page, std::span<std::byte, kPageSize> out) {
    TIDEMARK_CHECK(in_block({page, 1}));
    std::memcpy(out.data(), host_ + page.byte_offset(), out.size());
    return 0;
}

} // namespace

Result<std::unique_ptr<GuestMemory>> make_userfaultfd_memory(const char *id, void *host,
                                                             std::uint32_t pages) {
    if (host == nullptr || address_of(host) % kPageSize != 0 || pages == 0)
        return fail(EINVAL, std::string("memory block '") + id +
                                "': its address and size must be multiples of 4096 and not 0");
    Result<UniqueFd> uffd = open_userfaultfd();
    if (!uffd)
        return tl::unexpected<Error>(uffd.error());
    // Without a pidfd pages are given back one range at a time.
    UniqueFd self(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0U)));
    auto memory = std::make_unique<UserfaultfdMemory>(id, static_cast<std::byte *>(host), pages,
                                                      std::move(*uffd), std::move(self));
    if (Result<void> mapped = memory->map_shadow(); !mapped)
        return tl::unexpected<Error>(mapped.error());
    return memory;
}

} // namespace tidemark
