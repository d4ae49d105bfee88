// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where handler threads wait for userfaultfd's messages, and how they are told to stop.
//
// Handlers wait in a plain blocking read(): that hands a fault over with the fewest system calls and the
// fewest wake-ups, but nothing but a message ends it, least of all a flag. So there is a doorbell: a page
// of our own, registered with the same userfaultfd and never mapped. To stop, a small thread (the ringer)
// touches it. The handler that reads the message wakes the ringer without mapping the page and goes; the
// ringer faults again, and its next message tells the next handler. It goes on so until the page is
// unregistered, which lets the ringer through at last.
#pragma once

#include "base/result.h"
#include "sys/thread.h"
#include "sys/uapi_userfaultfd.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

namespace tidemark {

class FaultQueue {
  public:
    // uffd: a blocking one, handshake done; it must outlive the queue.
    static Result<std::unique_ptr<FaultQueue>> open(int uffd);
    // No read() may be under way or follow.
    ~FaultQueue();
    FaultQueue(const FaultQueue &) = delete;
    FaultQueue &operator=(const FaultQueue &) = delete;

    // Waits for page faults; how many there are, 0 = stopped.
    std::size_t read(std::span<uffd_msg> messages);
    // Every read() returns 0, those that wait and those to come. What was not read until then is lost;
    // its threads wait until their memory is unregistered.
    void stop();

  private:
    FaultQueue(int uffd, std::byte *doorbell) : uffd_(uffd), doorbell_(doorbell) {}
    bool is_doorbell(const uffd_msg &message) const;
    void pass_on();

    const int uffd_;
    std::byte *const doorbell_;
    std::atomic<bool> stopped_{false};
    std::once_flag once_;
    std::optional<Thread> ringer_;
};

} // namespace tidemark
