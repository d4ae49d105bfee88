// SPDX-License-Identifier: GPL-2.0-or-later
//
// Block I/O to one tier's file or device. A Disk is shared; each thread opens its own IoQueue on it.
#pragma once

#include "base/result.h"
#include "base/units.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>
#include <vector>

namespace tidemark {

struct IoRequest {
    bool write = false;
    std::uint64_t offset = 0; // multiple of 4096
    std::vector<iovec> parts; // page-aligned pieces, total a multiple of 4096
    std::int64_t result = 0;  // after completion: bytes moved, or -errno. Short = treat as error
    std::uint64_t tag = 0;    // the caller's
    std::uint8_t disk = 0;    // which, where a queue is over several (sys/service_queue.h)
    std::uint64_t length() const {
        std::uint64_t sum = 0;
        for (const iovec &part : parts)
            sum += part.iov_len;
        return sum;
    }
};

// When submitted requests start.
enum class Start : std::uint8_t {
    now,       // before submit() returns
    with_wait, // with the next wait_one() or try_one() at the latest: one system call for both
};

// Belongs to the thread that submits to it; while nothing is in flight another thread may take it
// over, at the price of a new ring. Requests must stay alive and unmoved until they are returned.
class IoQueue {
  public:
    virtual ~IoQueue() = default;
    // Starts every request, in order; more than the queue is deep wait for earlier ones inside.
    virtual void submit(std::span<IoRequest *const> requests, Start start = Start::now) = 0;
    // The next finished request (any order); nullptr if none is in flight. Short transfers are
    // completed or turned into -EIO inside; EINTR and EAGAIN are retried inside.
    virtual IoRequest *wait_one() = 0;
    // The same without waiting: nullptr if none has finished yet, or none is in flight.
    virtual IoRequest *try_one() = 0;
    // Requests submitted and not yet returned.
    virtual std::size_t in_flight() const = 0;
};

// Implemented by sys/uring_disk.cc and, with injected faults, by sys/fake_disk.cc.
class Disk {
  public:
    virtual ~Disk() = default;
    virtual Result<std::unique_ptr<IoQueue>> open_queue(std::uint32_t depth) = 0;
    // Tells the device that the range holds nothing any more; 0 or a positive errno.
    virtual int discard(std::uint64_t offset, std::uint64_t length) = 0;
    virtual std::uint64_t size() const = 0; // bytes
    virtual bool direct() const = 0;        // O_DIRECT in use
    virtual int descriptor() const = 0;     // -1 if there is none
};

// path: a directory (O_TMPFILE, or create 0600 + unlink), a path that does not exist yet (created 0600
// O_EXCL and unlinked) or a block device. Never an existing regular file: refused with a sentence.
// capacity 0 = the device's size (refused for files). Files are made sparse at that size. Falls back
// to buffered I/O, with a sentence to warn(), where O_DIRECT is refused.
Result<std::unique_ptr<Disk>> open_uring_disk(const std::string &path, std::uint64_t capacity,
                                              const std::function<void(const std::string &)> &warn);

} // namespace tidemark
