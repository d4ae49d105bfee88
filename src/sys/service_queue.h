// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the thread that serves faults waits: for faults and for the reads it has begun, whichever comes
// first, in one system call. So one thread has as many reads under way as there are faults, and none of
// them waits for another.
#pragma once

#include "sys/disk.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace tidemark {

struct FaultMessage {
    PageIndex page;
    bool in_shadow = false; // an access to a hole of S: a mistake of ours
    bool write = false;
    std::int32_t thread_id = 0; // 0 if unknown
};

// Belongs to the thread that waits, but for stop().
class ServiceQueue {
  public:
    struct Event { // one of the two; none: stopped, and nothing is in flight any more
        std::size_t faults = 0;
        IoRequest *request = nullptr;
    };

    virtual ~ServiceQueue() = default;
    // Starts with the next wait(). request->disk: of those the queue was opened with. Otherwise as with
    // an IoQueue.
    virtual void submit(IoRequest *request) = 0;
    // Up to messages.size() faults, or a finished request. Faults that do not fit stay for the next time; with
    // no room at all none are waited for.
    virtual Event wait(std::span<FaultMessage> messages) = 0;
    // Ends wait(), once what is in flight has been returned. Faults are left where they are: their threads
    // wait until their memory is unregistered. From any thread.
    virtual void stop() = 0;
};

} // namespace tidemark
