// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/uring_service.h"

#include "base/check.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace tidemark {

Result<std::unique_ptr<UringService>> UringService::open(int uffd, std::span<Disk *const> disks,
                                                         std::uint32_t depth, Translate translate) {
    UniqueFd bell(eventfd(0, EFD_CLOEXEC));
    if (!bell.valid())
        return fail(errno, std::string("no eventfd for the thread that serves faults: ") +
                               std::strerror(errno));
    std::vector<int> files;
    for (const Disk *disk : disks)
        files.push_back(disk->descriptor());
    auto queue = UringQueue::open(std::move(files), depth);
    if (!queue)
        return tl::unexpected<Error>(queue.error());
    return std::unique_ptr<UringService>(
        new UringService(uffd, std::move(bell), std::move(*queue), std::move(translate)));
}

UringService::UringService(int uffd, UniqueFd bell, std::unique_ptr<UringQueue> queue,
                           Translate translate)
    : translate_(std::move(translate)), bell_(std::move(bell)), queue_(std::move(queue)) {
    faults_.descriptor = uffd;
    faults_.buffer = std::as_writable_bytes(std::span(raw_));
    stop_.descriptor = bell_.get();
    stop_.buffer = std::as_writable_bytes(std::span(&rings_, 1));
}

// After stop() the thread that waited has taken the inputs back; without it, this is that thread.
UringService::~UringService() {
    leave();
}

void UringService::submit(IoRequest *request) {
    queue_->submit({&request, 1}, Start::with_wait);
}

std::size_t UringService::take_faults(std::span<FaultMessage> messages) {
    std::size_t taken = 0;
    for (; count_ != 0 && taken < messages.size(); ++first_, --count_)
        if (raw_[first_].event == UFFD_EVENT_PAGEFAULT)
            messages[taken++] = translate_(raw_[first_]);
    return taken;
}

ServiceQueue::Event UringService::wait(std::span<FaultMessage> messages) {
    for (;;) {
        const bool stopped = stopped_.load(std::memory_order_acquire);
        if (stopped && queue_->in_flight() == 0) {
            leave();
            return {};
        }
        if (const std::size_t taken = stopped ? 0 : take_faults(messages); taken != 0)
            return {taken, nullptr};
        if (!stopped && !faults_.asked && count_ == 0 && !messages.empty())
            queue_->ask(faults_);
        if (!stop_.asked && rings_ == 0)
            queue_->ask(stop_);
        const UringQueue::Event event = queue_->wait_event();
        if (event.request != nullptr)
            return {0, event.request};
        if (event.input != &faults_)
            continue;
        // EAGAIN and EINTR: nothing was read, ask again.
        const std::int32_t got = faults_.result;
        TIDEMARK_CHECK(got >= static_cast<std::int32_t>(sizeof(uffd_msg)) || got == -EAGAIN ||
                       got == -EINTR);
        first_ = 0;
        count_ = got > 0 ? static_cast<std::size_t>(got) / sizeof(uffd_msg) : 0;
    }
}

void UringService::leave() {
    queue_->take_back(faults_);
    queue_->take_back(stop_);
    count_ = 0;
    rings_ = 1;
}

void UringService::stop() {
    stopped_.store(true, std::memory_order_release);
    const std::uint64_t one = 1;
    // It can't be full: nobody rings it 2^64 times.
    TIDEMARK_CHECK(write(bell_.get(), &one, sizeof(one)) == sizeof(one));
}

} // namespace tidemark
