// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/fake_memory.h"

#include "base/check.h"
#include "sys/fake_random.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

namespace tidemark {

FakeMemory::FakeMemory(std::uint32_t pages, std::uint64_t seed)
    : pages_(pages), guest_(zeros(pages)), shadow_(zeros(pages)), guest_present_(pages),
      guest_huge_(pages / kRegionPages + 1), shadow_present_(pages), poisoned_(pages),
      random_(seed) {}

// ---- helpers ----

void FakeMemory::Free::operator()(std::byte *bytes) const {
    std::free(bytes);
}

FakeMemory::Bytes FakeMemory::zeros(std::uint32_t pages) {
    Bytes bytes(static_cast<std::byte *>(std::calloc(pages, kPageSize)));
    TIDEMARK_CHECK(bytes != nullptr);
    return bytes;
}

// A scripted error, 0 if none is due.
int FakeMemory::injected_scripted(Call call) {
    Injection &injection = injections_[static_cast<std::size_t>(call)];
    if (injection.script.empty())
        return 0;
    const int error = injection.script.front();
    injection.script.pop_front();
    ++injected_;
    return error;
}

// An error by chance, asked before each page.
int FakeMemory::injected(Call call) {
    const Injection &injection = injections_[static_cast<std::size_t>(call)];
    if (injection.per_mille == 0 || !chance(random_, injection.per_mille))
        return 0;
    ++injected_;
    return injection.error;
}

void FakeMemory::wake_page(PageIndex page) {
    for (Waiter *waiter : waiters_) {
        if (waiter->page == page)
            waiter->woken = true;
    }
    changed_.notify_all();
}

void FakeMemory::count_dram(std::int64_t change) {
    dram_ = static_cast<std::uint32_t>(dram_ + change);
    dram_peak_ = std::max(dram_peak_, dram_);
}

void FakeMemory::check_run(PageRun run) const {
    TIDEMARK_CHECK(run.count > 0 && run.count <= pages_ && run.first.value <= pages_ - run.count);
}

// The run is 2 MiB that can be one huge page.
bool FakeMemory::whole_region(PageRun run) const {
    return huge_aligned_ && run.count == kRegionPages && run.first.value % kRegionPages == 0;
}

// bytes == nullptr: zeros.
void FakeMemory::map_page(PageIndex page, const std::byte *bytes) {
    if (bytes != nullptr)
        std::memcpy(guest_bytes(page), bytes, kPageSize);
    else
        std::memset(guest_bytes(page), 0, kPageSize);
    guest_present_[page.value] = true;
}

void FakeMemory::unmap_page(PageIndex page) {
    guest_present_[page.value] = false;
    guest_huge_[page.value / kRegionPages] = false;
    // What is left behind must never be seen again.
    std::memset(guest_bytes(page), 0xE7, kPageSize);
}

// ---- GuestMemory ----

Result<void> FakeMemory::arm() {
    const MutexLock lock(mutex_);
    armed_ = true;
    return {};
}

Result<std::vector<bool>> FakeMemory::mapped_pages() {
    const MutexLock lock(mutex_);
    return guest_present_;
}

RunResult FakeMemory::move_out(PageRun run) {
    check_run(run);
    const MutexLock lock(mutex_);
    TIDEMARK_CHECK(armed_);
    if (const int error = injected_scripted(Call::move_out); error != 0)
        return {0, error};
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const PageIndex page = run.first.next(i);
        if (shadow_present_[page.value])
            return {i, EEXIST};
        if (!guest_present_[page.value])
            return {i, ENOENT};
        if (pinned_.contains(page))
            return {i, EBUSY};
        if (const int error = injected(Call::move_out); error != 0)
            return {i, error};
        std::memcpy(shadow_bytes(page), guest_bytes(page), kPageSize);
        unmap_page(page);
        shadow_present_[page.value] = true;
    }
    return {run.count, 0};
}

// bytes == nullptr: zeros.
RunResult FakeMemory::fill(Call call, PageRun run, const std::byte *bytes) {
    if (const int error = injected_scripted(call); error != 0)
        return {0, error};
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const PageIndex page = run.first.next(i);
        if (guest_present_[page.value] || poisoned_[page.value])
            return {i, EEXIST};
        if (const int error = injected(call); error != 0)
            return {i, error};
        map_page(page, bytes == nullptr ? nullptr : bytes + bytes_of(i));
        wake_page(page);
    }
    return {run.count, 0};
}

RunResult FakeMemory::copy_in(PageRun run, const std::byte *bytes) {
    check_run(run);
    TIDEMARK_CHECK(bytes != nullptr);
    const MutexLock lock(mutex_);
    // Copying out of a hole of S would fault on our own thread, which nobody serves.
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const std::byte *at = bytes + bytes_of(i);
        if (at >= shadow_.get() && at < shadow_.get() + bytes_of(pages_))
            TIDEMARK_CHECK(
                shadow_present_[static_cast<std::size_t>(at - shadow_.get()) / kPageSize]);
    }
    const RunResult result = fill(Call::copy_in, run, bytes);
    count_dram(result.done);
    return result;
}

RunResult FakeMemory::copy_shadow(PageRun run, const std::byte *bytes) {
    check_run(run);
    TIDEMARK_CHECK(bytes != nullptr);
    const MutexLock lock(mutex_);
    TIDEMARK_CHECK(armed_);
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const PageIndex page = run.first.next(i);
        if (shadow_present_[page.value])
            return {i, EEXIST};
        if (const int error = injected(Call::copy_in); error != 0)
            return {i, error};
        std::memcpy(shadow_bytes(page), bytes + bytes_of(i), kPageSize);
        shadow_present_[page.value] = true;
        count_dram(1);
    }
    return {run.count, 0};
}

RunResult FakeMemory::move_in(PageRun run, std::byte *frame) {
    check_run(run);
    TIDEMARK_CHECK(frame != nullptr && reinterpret_cast<std::uintptr_t>(frame) % kPageSize == 0);
    const MutexLock lock(mutex_);
    TIDEMARK_CHECK(armed_);
    const RunResult result = fill(Call::move_in, run, frame);
    count_dram(result.done);
    // The frame has holes where the pages were, as after the real move: they read as zeros.
    if (result.done > 0)
        TIDEMARK_CHECK(madvise(frame, bytes_of(result.done), MADV_DONTNEED) == 0);
    constexpr std::size_t kRegionSize = kRegionPages * kPageSize;
    if (result.error == 0 && whole_region(run) &&
        reinterpret_cast<std::uintptr_t>(frame) % kRegionSize == 0)
        guest_huge_[run.first.value / kRegionPages] = true;
    return result;
}

RunResult FakeMemory::move_shadow_in(PageRun run, PageIndex from) {
    check_run(run);
    check_run({from, run.count});
    const MutexLock lock(mutex_);
    TIDEMARK_CHECK(armed_);
    for (std::uint32_t i = 0; i < run.count; ++i)
        TIDEMARK_CHECK(shadow_present_[from.value + i]);
    const RunResult result = fill(Call::move_in, run, shadow_bytes(from));
    for (std::uint32_t i = 0; i < result.done; ++i) {
        shadow_present_[from.value + i] = false;
        std::memset(shadow_bytes(from.next(i)), 0xE8, kPageSize);
    }
    if (result.error == 0 && whole_region(run) && whole_region({from, run.count}))
        guest_huge_[run.first.value / kRegionPages] = true;
    return result;
}

RunResult FakeMemory::zero_in(PageRun run) {
    check_run(run);
    const MutexLock lock(mutex_);
    const RunResult result = fill(Call::copy_in, run, nullptr);
    count_dram(result.done);
    return result;
}

RunResult FakeMemory::poison(PageRun run) {
    check_run(run);
    const MutexLock lock(mutex_);
    if (const int error = injected_scripted(Call::poison); error != 0)
        return {0, error};
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const PageIndex page = run.first.next(i);
        if (guest_present_[page.value] || poisoned_[page.value])
            return {i, EEXIST};
        if (const int error = injected(Call::poison); error != 0)
            return {i, error};
        poisoned_[page.value] = true;
        wake_page(page);
    }
    return {run.count, 0};
}

void FakeMemory::wake(PageRun run) {
    check_run(run);
    const MutexLock lock(mutex_);
    for (std::uint32_t i = 0; i < run.count; ++i)
        wake_page(run.first.next(i));
}

int FakeMemory::drop_shadow(std::span<const PageRun> runs) {
    const MutexLock lock(mutex_);
    if (const int error = injected_scripted(Call::drop_shadow); error != 0)
        return error;
    if (const int error = injected(Call::drop_shadow); error != 0)
        return error;
    for (const PageRun &run : runs) {
        check_run(run);
        for (std::uint32_t i = 0; i < run.count; ++i) {
            const PageIndex page = run.first.next(i);
            if (!shadow_present_[page.value])
                continue;
            shadow_present_[page.value] = false;
            // Whoever still reads it gets bytes that no checksum accepts.
            std::memset(shadow_bytes(page), 0xE8, kPageSize);
            count_dram(-1);
        }
    }
    return 0;
}

int FakeMemory::drop_guest(PageRun run) {
    check_run(run);
    const MutexLock lock(mutex_);
    if (const int error = injected_scripted(Call::drop_guest); error != 0)
        return error;
    if (const int error = injected(Call::drop_guest); error != 0)
        return error;
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const PageIndex page = run.first.next(i);
        poisoned_[page.value] = false;
        if (!guest_present_[page.value])
            continue;
        unmap_page(page);
        count_dram(-1);
    }
    return 0;
}

std::byte *FakeMemory::shadow(PageIndex page) const {
    check_run({page, 1});
    return shadow_bytes(page);
}

int FakeMemory::peek_guest(PageIndex page, std::span<std::byte, kPageSize> out) {
    check_run({page, 1});
    const MutexLock lock(mutex_);
    if (!guest_present_[page.value])
        return EFAULT;
    std::memcpy(out.data(), guest_bytes(page), kPageSize);
    return 0;
}

} // namespace tidemark
