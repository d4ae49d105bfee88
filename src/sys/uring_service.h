// SPDX-License-Identifier: GPL-2.0-or-later
//
// A ServiceQueue over one io_uring: reads of the userfaultfd, reads of the disks, and an eventfd to stop it.
//
// A read of a userfaultfd over io_uring hands a fault over as fast as read() does (7 us on one CPU,
// measured on Linux 6.18); kernels before 6.9 give it to a thread of their own, which costs more.
#pragma once

#include "base/result.h"
#include "sys/service_queue.h"
#include "sys/uapi_userfaultfd.h"
#include "sys/unique_fd.h"
#include "sys/uring_queue.h"

#include <array>
#include <atomic>
#include <functional>
#include <memory>

namespace tidemark {

class UringService final : public ServiceQueue {
  public:
    using Translate = std::function<FaultMessage(const uffd_msg &)>;
    // uffd: a blocking one, handshake done. It and the disks must outlive the queue. depth: most reads in
    // flight.
    static Result<std::unique_ptr<UringService>> open(int uffd, std::span<Disk *const> disks,
                                                      std::uint32_t depth, Translate translate);
    ~UringService() override;

    void submit(IoRequest *request) override;
    Event wait(std::span<FaultMessage> messages) override;
    void stop() override;

  private:
    UringService(int uffd, UniqueFd bell, std::unique_ptr<UringQueue> queue, Translate translate);
    std::size_t take_faults(std::span<FaultMessage> messages);
    void leave();

    static constexpr std::size_t kAtOnce = 16;
    const Translate translate_;
    std::array<uffd_msg, kAtOnce> raw_{};
    std::size_t first_ = 0, count_ = 0; // of raw_, not taken yet
    std::uint64_t rings_ = 0;           // of the bell
    std::atomic<bool> stopped_{false};
    UniqueFd bell_;
    UringQueue::Input faults_, stop_;
    std::unique_ptr<UringQueue> queue_; // goes first
};

} // namespace tidemark
