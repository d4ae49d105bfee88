// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a test does to a FakeMemory: accesses of the guest, pins, errors to come, and a look inside.
#include "sys/fake_memory.h"

#include <algorithm>
#include <cstring>

namespace tidemark {

FakeMemory::Touch
FakeMemory::touch(PageIndex page, bool write,
                  const std::function<void(std::span<std::byte, kPageSize>)> &access) {
    check_run({page, 1});
    const MutexLock lock(mutex_);
    for (;;) {
        if (gave_up_)
            return Touch::stopped;
        if (poisoned_[page.value])
            return Touch::poisoned;
        if (guest_present_[page.value]) {
            access(std::span<std::byte, kPageSize>(guest_bytes(page), kPageSize));
            return Touch::done;
        }
        if (!armed_) {
            // The kernel maps a zeroed page by itself.
            std::memset(guest_bytes(page), 0, kPageSize);
            guest_present_[page.value] = true;
            count_dram(1);
            continue;
        }
        Waiter waiter{page};
        waiters_.push_back(&waiter);
        faults_.push_back({page, false, write, 0});
        changed_.notify_all();
        while (!waiter.woken && !gave_up_)
            changed_.wait(mutex_);
        std::erase(waiters_, &waiter);
        // As in the kernel, a fault that was resolved before it was read is never read.
        if (std::none_of(waiters_.begin(), waiters_.end(),
                         [page](const Waiter *other) { return other->page == page; }))
            std::erase_if(faults_, [page](const FaultMessage &f) { return f.page == page; });
    }
}

void FakeMemory::give_up() {
    const MutexLock lock(mutex_);
    gave_up_ = true;
    changed_.notify_all();
}

void FakeMemory::pin(PageIndex page) {
    const MutexLock lock(mutex_);
    pinned_.insert(page);
}

void FakeMemory::unpin(PageIndex page) {
    const MutexLock lock(mutex_);
    pinned_.erase(page);
}

void FakeMemory::set_error_chance(Call call, int error, std::uint32_t per_mille) {
    const MutexLock lock(mutex_);
    injections_[static_cast<std::size_t>(call)].error = error;
    injections_[static_cast<std::size_t>(call)].per_mille = per_mille;
}

void FakeMemory::script_error(Call call, int error, std::uint32_t times) {
    const MutexLock lock(mutex_);
    injections_[static_cast<std::size_t>(call)].script.insert(
        injections_[static_cast<std::size_t>(call)].script.end(), times, error);
}

bool FakeMemory::guest_present(PageIndex page) const {
    const MutexLock lock(mutex_);
    return guest_present_[page.value];
}

bool FakeMemory::guest_huge(PageIndex page) const {
    const MutexLock lock(mutex_);
    return guest_huge_[page.value / kRegionPages];
}

bool FakeMemory::shadow_present(PageIndex page) const {
    const MutexLock lock(mutex_);
    return shadow_present_[page.value];
}

bool FakeMemory::poisoned(PageIndex page) const {
    const MutexLock lock(mutex_);
    return poisoned_[page.value];
}

std::uint32_t FakeMemory::dram_pages() const {
    const MutexLock lock(mutex_);
    return dram_;
}

std::uint32_t FakeMemory::dram_peak() const {
    const MutexLock lock(mutex_);
    return dram_peak_;
}

void FakeMemory::reset_dram_peak() {
    const MutexLock lock(mutex_);
    dram_peak_ = dram_;
}

std::uint64_t FakeMemory::injected_errors() const {
    const MutexLock lock(mutex_);
    return injected_;
}

} // namespace tidemark
