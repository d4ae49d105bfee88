// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/uring_queue.h"

#include "base/check.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

namespace tidemark {
namespace {

// A request is retried this often after EAGAIN or EINTR before the error is believed.
constexpr std::uint32_t kMostRetries = 1000;
constexpr std::uint32_t kMostDepth = 1024;
// The most that one submission moves; the rest is resumed like any short transfer.
constexpr std::size_t kMostBytes = std::size_t{1} << 30;

// TASKRUN_FLAG lets liburing see, without a system call, that a completion waits to be handled.
constexpr unsigned kShared = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
constexpr unsigned kBound = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;

// A completion's data is its Flight, or its Input with a mark, or nobody's.
constexpr std::uint64_t kInputMark = 1;
constexpr std::uint64_t kNobody = 0;
// Linux 6.15, not yet in Debian 12's headers: this wait is not for a disk.
constexpr unsigned kNoIowaitFeature = 1U << 17;
constexpr unsigned kEnterNoIowait = 1U << 7;
constexpr std::uint32_t kInputs = 4; // entries for them, and for taking them back

// Threads by a number of our own: the system's ids come again when a thread has ended.
std::uint64_t this_thread() {
    static std::atomic<std::uint64_t> threads{0};
    thread_local const std::uint64_t mine = ++threads;
    return mine;
}

Result<io_uring> open_ring(std::uint32_t depth, unsigned flags) {
    io_uring ring{};
    int rc = io_uring_queue_init(depth, &ring, flags);
    // What an older kernel does not know of the flags is only about speed.
    if (rc == -EINVAL && flags == kBound)
        rc = io_uring_queue_init(depth, &ring, kShared);
    if (rc == -EINVAL)
        rc = io_uring_queue_init(depth, &ring, 0);
    switch (-rc) {
    case 0:
        break;
    case EPERM:
    case EACCES:
        return fail(EPERM,
                    "io_uring is not permitted here; set the sysctl kernel.io_uring_disabled to "
                    "0, and allow the io_uring system calls in the sandbox, if there is one");
    case ENOSYS:
        return fail(ENOSYS, "this kernel has no io_uring; a kernel built with CONFIG_IO_URING=y is "
                            "needed");
    case ENOMEM:
        return fail(ENOMEM, "io_uring found no memory for a queue of " + std::to_string(depth) +
                                " requests; raise the limit of locked memory (RLIMIT_MEMLOCK)");
    default:
        return fail(-rc, std::string("io_uring could not be set up: ") + std::strerror(-rc));
    }
    // A child of fork() must not share the ring.
    if (const int error = io_uring_ring_dontfork(&ring); error != 0) {
        io_uring_queue_exit(&ring);
        return fail(-error, std::string("io_uring could not be kept from child processes: ") +
                                std::strerror(-error));
    }
    return ring;
}

bool is_bound(const io_uring &ring) {
    return (ring.flags & IORING_SETUP_SINGLE_ISSUER) != 0;
}

// liburing 2.3 declares io_uring_enable_rings() and forgets to export it.
int enable_ring(const io_uring &ring) {
    const long rc =
        syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0U);
    return rc < 0 ? errno : 0;
}

// Short of room for a moment, or interrupted: ask again. Anything else is a mistake of ours.
void check_entered(int rc) {
    TIDEMARK_CHECK(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
}

} // namespace

Result<std::unique_ptr<UringQueue>> UringQueue::open(std::vector<int> files, std::uint32_t depth) {
    const std::uint32_t entries = std::clamp(depth, 1U, kMostDepth);
    Result<io_uring> ring = open_ring(entries + kInputs, kBound);
    if (!ring)
        return tl::unexpected<Error>(ring.error());
    return std::unique_ptr<UringQueue>(new UringQueue(std::move(files), *ring, entries));
}

UringQueue::UringQueue(std::vector<int> files, io_uring ring, std::uint32_t depth)
    : files_(std::move(files)), ring_(ring), flights_(depth) {
    free_.reserve(depth);
    for (Flight &flight : flights_)
        free_.push_back(&flight);
}

UringQueue::~UringQueue() {
    // The kernel writes into the requests' buffers until they are done.
    while (wait_one() != nullptr) {
    }
    io_uring_queue_exit(&ring_);
}

// Makes the calling thread the one that submits. 0 or a positive errno.
int UringQueue::take_over() {
    const std::uint64_t me = this_thread();
    if (owner_ == me)
        return 0;
    TIDEMARK_CHECK(in_flight() == 0);
    if (is_bound(ring_) && owner_ == 0) {
        if (const int error = enable_ring(ring_); error != 0)
            return error;
    } else if (is_bound(ring_)) {
        Result<io_uring> ring =
            open_ring(static_cast<std::uint32_t>(flights_.size()) + kInputs, kShared);
        if (!ring)
            return ring.error().code;
        io_uring_queue_exit(&ring_);
        ring_ = *ring;
    }
    owner_ = me;
    return 0;
}

void UringQueue::push(Flight &flight) {
    // There is a submission entry for every flight, so there is always one free.
    io_uring_sqe *sqe = io_uring_get_sqe(&ring_);
    TIDEMARK_CHECK(sqe != nullptr);
    const std::vector<iovec> &parts = flight.rest.empty() ? flight.request->parts : flight.rest;
    const std::uint64_t offset = flight.request->offset + flight.done;
    const bool write = flight.request->write;
    const int file = files_.size() == 1 ? files_[0] : files_.at(flight.request->disk);
    if (parts.size() == 1) {
        const auto length = static_cast<unsigned>(std::min(parts[0].iov_len, kMostBytes));
        if (write)
            io_uring_prep_write(sqe, file, parts[0].iov_base, length, offset);
        else
            io_uring_prep_read(sqe, file, parts[0].iov_base, length, offset);
    } else {
        // The kernel takes at most IOV_MAX pieces; the rest is resumed like any short transfer.
        const auto pieces = static_cast<unsigned>(std::min<std::size_t>(parts.size(), IOV_MAX));
        if (write)
            io_uring_prep_writev(sqe, file, parts.data(), pieces, offset);
        else
            io_uring_prep_readv(sqe, file, parts.data(), pieces, offset);
    }
    io_uring_sqe_set_data64(sqe, reinterpret_cast<std::uint64_t>(&flight));
}

void UringQueue::flush() {
    while (io_uring_sq_ready(&ring_) > 0)
        check_entered(io_uring_submit(&ring_));
}

void UringQueue::start(IoRequest *request) {
    while (free_.empty())
        finished_.push_back(reap());
    Flight &flight = *free_.back();
    free_.pop_back();
    flight.request = request;
    flight.rest.clear();
    flight.done = 0;
    flight.retries = 0;
    request->result = 0;
    push(flight);
}

void UringQueue::submit(std::span<IoRequest *const> requests, Start when) {
    if (const int error = take_over(); error != 0) {
        for (IoRequest *request : requests) {
            request->result = -error;
            finished_.push_back(request);
        }
        return;
    }
    for (IoRequest *request : requests)
        start(request);
    if (when == Start::now)
        flush();
}

// Accounts for one completion; true if the request is finished, false if there is more to transfer.
bool UringQueue::advance(Flight &flight, std::int32_t result) {
    const std::uint64_t length = flight.request->length();
    if (result == -EAGAIN || result == -EINTR) {
        if (++flight.retries <= kMostRetries)
            return false;
        flight.request->result = -EIO;
        return true;
    }
    if (result < 0) {
        flight.request->result = result;
        return true;
    }
    flight.done += static_cast<std::uint64_t>(result);
    if (flight.done == length) {
        flight.request->result = static_cast<std::int64_t>(length);
        return true;
    }
    // Nothing at all: past the end of a disk that shrank. A length that is no multiple of the block
    // size can't be resumed with O_DIRECT.
    if (result == 0 || flight.done > length || flight.done % 512 != 0) {
        flight.request->result = -EIO;
        return true;
    }
    keep_rest(flight, static_cast<std::uint64_t>(result));
    return false;
}

// After a short transfer: what has not been transferred yet.
void UringQueue::keep_rest(Flight &flight, std::uint64_t transferred) {
    std::vector<iovec> &rest = flight.rest;
    if (rest.empty())
        rest = flight.request->parts;
    std::size_t whole = 0;
    while (transferred >= rest[whole].iov_len)
        transferred -= rest[whole++].iov_len;
    rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(whole));
    rest[0].iov_base = static_cast<std::byte *>(rest[0].iov_base) + transferred;
    rest[0].iov_len -= transferred;
}

// Takes one completion off the ring; an empty event if its request has to go on.
UringQueue::Event UringQueue::settle(io_uring_cqe *cqe) {
    const std::uint64_t data = io_uring_cqe_get_data64(cqe);
    const std::int32_t result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    if (data == kNobody)
        return {};
    if ((data & kInputMark) != 0) {
        Input &input = *reinterpret_cast<Input *>(data & ~kInputMark);
        input.asked = false;
        input.result = result;
        return {nullptr, &input};
    }
    Flight &flight = *reinterpret_cast<Flight *>(data);
    if (!advance(flight, result)) {
        push(flight);
        return {};
    }
    free_.push_back(&flight);
    return {flight.request, nullptr};
}

void UringQueue::ask(Input &input) {
    TIDEMARK_CHECK(!input.asked && take_over() == 0);
    io_uring_sqe *sqe = io_uring_get_sqe(&ring_);
    TIDEMARK_CHECK(sqe != nullptr);
    io_uring_prep_read(sqe, input.descriptor, input.buffer.data(),
                       static_cast<unsigned>(input.buffer.size()), 0);
    io_uring_sqe_set_data64(sqe, reinterpret_cast<std::uint64_t>(&input) | kInputMark);
    input.asked = true;
}

// Submits what is queued and waits for something to finish.
void UringQueue::enter() {
    if (in_flight() != 0 || (ring_.features & kNoIowaitFeature) == 0) {
        check_entered(io_uring_submit_and_wait(&ring_, 1));
        return;
    }
    // For inputs only: liburing 2.3 has no way to say that this is no I/O.
    check_entered(io_uring_submit(&ring_));
    if (io_uring_cq_ready(&ring_) != 0)
        return;
    const long waited = syscall(__NR_io_uring_enter, ring_.ring_fd, 0U, 1U,
                                IORING_ENTER_GETEVENTS | kEnterNoIowait, nullptr, std::size_t{0});
    check_entered(waited < 0 ? -errno : 0);
}

bool input_waits_are_quiet() {
    io_uring ring;
    if (io_uring_queue_init(1, &ring, 0) != 0)
        return false;
    const bool quiet = (ring.features & kNoIowaitFeature) != 0;
    io_uring_queue_exit(&ring);
    return quiet;
}

// What is there already comes first: new requests are submitted by the call that waits, all at once.
UringQueue::Event UringQueue::wait_event() {
    if (!finished_.empty())
        return {pop_finished(), nullptr};
    for (;;) {
        if (io_uring_cq_ready(&ring_) == 0)
            enter();
        io_uring_cqe *cqe = nullptr;
        if (io_uring_peek_cqe(&ring_, &cqe) != 0)
            continue;
        const Event event = settle(cqe);
        if (event.request != nullptr || event.input != nullptr)
            return event;
    }
}

void UringQueue::take_back(Input &input) {
    if (!input.asked)
        return;
    io_uring_sqe *sqe = io_uring_get_sqe(&ring_);
    TIDEMARK_CHECK(sqe != nullptr);
    io_uring_prep_cancel64(sqe, reinterpret_cast<std::uint64_t>(&input) | kInputMark, 0);
    io_uring_sqe_set_data64(sqe, kNobody);
    while (input.asked)
        if (const Event event = wait_event(); event.request != nullptr)
            finished_.push_back(event.request);
}

// Waits for the next request to finish. There must be one in flight.
IoRequest *UringQueue::reap() {
    TIDEMARK_CHECK(owner_ == this_thread());
    for (;;) {
        // Waiting submits what is queued by the same system call.
        if (io_uring_cq_ready(&ring_) == 0)
            check_entered(io_uring_submit_and_wait(&ring_, 1));
        else
            flush();
        io_uring_cqe *cqe = nullptr;
        if (io_uring_peek_cqe(&ring_, &cqe) != 0)
            continue;
        if (IoRequest *request = settle(cqe).request; request != nullptr)
            return request;
    }
}

IoRequest *UringQueue::pop_finished() {
    IoRequest *request = finished_.front();
    finished_.pop_front();
    return request;
}

IoRequest *UringQueue::wait_one() {
    if (!finished_.empty())
        return pop_finished();
    return in_flight() == 0 ? nullptr : reap();
}

IoRequest *UringQueue::try_one() {
    if (!finished_.empty())
        return pop_finished();
    if (in_flight() == 0)
        return nullptr;
    TIDEMARK_CHECK(owner_ == this_thread());
    for (;;) {
        flush();
        io_uring_cqe *cqe = nullptr;
        if (io_uring_peek_cqe(&ring_, &cqe) != 0)
            return nullptr;
        if (IoRequest *request = settle(cqe).request; request != nullptr)
            return request;
    }
}

} // namespace tidemark
