// SPDX-License-Identifier: GPL-2.0-or-later
//
// An IoQueue over one io_uring.
//
// The ring is bound to the thread that first submits to it (SINGLE_ISSUER, DEFER_TASKRUN): completions
// are then handled by that thread when it asks, not by an interrupt of whatever it does. Queues are
// opened in one thread and used in another, so a ring starts disabled and is enabled at the first
// submission. Should a queue change hands later on, it gets a ring that is bound to nobody. Older
// kernels give such a ring from the start.
#pragma once

#include "base/result.h"
#include "sys/disk.h"

#include <cstddef>
#include <deque>
#include <liburing.h>
#include <span>
#include <vector>

namespace tidemark {

class UringQueue final : public IoQueue {
  public:
    // Something else to read from, waited for by the same system call as the requests.
    struct Input {
        int descriptor = -1;
        std::span<std::byte> buffer;
        bool asked = false;      // the kernel has it; not to be moved or freed
        std::int32_t result = 0; // of the last time: bytes read, or -errno
    };
    struct Event { // one of the two
        IoRequest *request = nullptr;
        Input *input = nullptr;
    };

    // The files must stay open while the queue lives. depth: most requests inside the kernel at a time.
    static Result<std::unique_ptr<UringQueue>> open(std::vector<int> files, std::uint32_t depth);
    // By its thread; by any once nothing is in flight.
    ~UringQueue() override;
    UringQueue(const UringQueue &) = delete;
    UringQueue &operator=(const UringQueue &) = delete;

    void submit(std::span<IoRequest *const> requests, Start start) override;
    IoRequest *wait_one() override;
    IoRequest *try_one() override;
    // Reads once from the input; submitted with the next wait.
    void ask(Input &input);
    // The next finished request or input, whichever comes first.
    Event wait_event();
    // Takes an input back from the kernel: on return it is no longer asked.
    void take_back(Input &input);
    std::size_t in_flight() const override {
        return flights_.size() - free_.size() + finished_.size();
    }

  private:
    // One request inside the kernel, and how far it got.
    struct Flight {
        IoRequest *request = nullptr;
        std::vector<iovec> rest; // what is left after a short transfer; empty before
        std::uint64_t done = 0;
        std::uint32_t retries = 0;
    };

    UringQueue(std::vector<int> files, io_uring ring, std::uint32_t depth);
    int take_over();
    void start(IoRequest *request);
    void push(Flight &flight);
    void flush();
    void enter();
    bool advance(Flight &flight, std::int32_t result);
    void keep_rest(Flight &flight, std::uint64_t transferred);
    Event settle(io_uring_cqe *cqe);
    IoRequest *pop_finished();
    IoRequest *reap();

    const std::vector<int> files_;
    io_uring ring_;
    std::uint64_t owner_ = 0; // number of the thread that submits; 0 = none did yet
    std::vector<Flight> flights_;
    std::vector<Flight *> free_;
    std::deque<IoRequest *> finished_; // completed inside submit(), not yet handed out
};

// The kernel can be told that waiting for inputs is no wait for a disk (Linux 6.15). If it can't, the host's I/O
// pressure is high wherever a UringQueue waits.
bool input_waits_are_quiet();

} // namespace tidemark
