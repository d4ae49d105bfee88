// SPDX-License-Identifier: GPL-2.0-or-later
//
// A tier's disk over io_uring.
#include "sys/disk.h"

#include "base/check.h"
#include "sys/tier_file.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

namespace tidemark {
namespace {

// A request is retried this often after EAGAIN or EINTR before the error is believed.
constexpr std::uint32_t kMostRetries = 1000;
constexpr std::uint32_t kMostDepth = 1024;

class UringQueue final : public IoQueue {
  public:
    // The ring must be set up; the queue owns it from here on.
    UringQueue(int fd, io_uring ring, std::uint32_t depth) : fd_(fd), ring_(ring), flights_(depth) {
        for (Flight &flight : flights_)
            free_.push_back(&flight);
    }
    ~UringQueue() override {
        // The kernel writes into the requests' buffers until they are done.
        while (wait_one() != nullptr) {
        }
        io_uring_queue_exit(&ring_);
    }
    UringQueue(const UringQueue &) = delete;
    UringQueue &operator=(const UringQueue &) = delete;

    void submit(std::span<IoRequest *const> requests) override;
    IoRequest *wait_one() override;

  private:
    // One request inside the kernel, and how far it got.
    struct Flight {
        IoRequest *request = nullptr;
        std::vector<iovec> parts; // what is left to transfer
        std::uint64_t done = 0;
        std::uint32_t retries = 0;
    };

    void start(IoRequest *request);
    void push(Flight &flight);
    void flush();
    bool advance(Flight &flight, std::int32_t result);
    IoRequest *reap();

    int fd_;
    io_uring ring_;
    std::vector<Flight> flights_;
    std::vector<Flight *> free_;
    std::deque<IoRequest *> finished_; // completed inside submit(), not yet handed out
};

void UringQueue::push(Flight &flight) {
    // There is a submission entry for every flight, so there is always one free.
    io_uring_sqe *sqe = io_uring_get_sqe(&ring_);
    TIDEMARK_CHECK(sqe != nullptr);
    // The kernel takes at most IOV_MAX pieces; the rest is resumed like any short transfer.
    const auto pieces = static_cast<unsigned>(std::min<std::size_t>(flight.parts.size(), IOV_MAX));
    const std::uint64_t offset = flight.request->offset + flight.done;
    if (flight.request->write)
        io_uring_prep_writev(sqe, fd_, flight.parts.data(), pieces, offset);
    else
        io_uring_prep_readv(sqe, fd_, flight.parts.data(), pieces, offset);
    io_uring_sqe_set_data(sqe, &flight);
}

void UringQueue::flush() {
    while (io_uring_sq_ready(&ring_) > 0) {
        const int rc = io_uring_submit(&ring_);
        // EBUSY and EAGAIN: the kernel is short of room for a moment; completions make some.
        TIDEMARK_CHECK(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    }
}

void UringQueue::start(IoRequest *request) {
    while (free_.empty())
        finished_.push_back(reap());
    Flight &flight = *free_.back();
    free_.pop_back();
    flight.request = request;
    flight.parts.assign(request->parts.begin(), request->parts.end());
    flight.done = 0;
    flight.retries = 0;
    request->result = 0;
    push(flight);
}

void UringQueue::submit(std::span<IoRequest *const> requests) {
    for (IoRequest *request : requests)
        start(request);
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
    std::uint64_t skip = static_cast<std::uint64_t>(result);
    std::size_t whole = 0;
    while (skip >= flight.parts[whole].iov_len)
        skip -= flight.parts[whole++].iov_len;
    flight.parts.erase(flight.parts.begin(),
                       flight.parts.begin() + static_cast<std::ptrdiff_t>(whole));
    flight.parts[0].iov_base = static_cast<std::byte *>(flight.parts[0].iov_base) + skip;
    flight.parts[0].iov_len -= skip;
    return false;
}

// Waits for the next request to finish. There must be one in flight.
IoRequest *UringQueue::reap() {
    flush();
    for (;;) {
        io_uring_cqe *cqe = nullptr;
        const int rc = io_uring_wait_cqe(&ring_, &cqe);
        if (rc == -EINTR || rc == -EAGAIN)
            continue;
        TIDEMARK_CHECK(rc == 0 && cqe != nullptr);
        Flight &flight = *static_cast<Flight *>(io_uring_cqe_get_data(cqe));
        const std::int32_t result = cqe->res;
        io_uring_cqe_seen(&ring_, cqe);
        if (advance(flight, result)) {
            free_.push_back(&flight);
            return flight.request;
        }
        push(flight);
        flush();
    }
}

IoRequest *UringQueue::wait_one() {
    if (!finished_.empty()) {
        IoRequest *request = finished_.front();
        finished_.pop_front();
        return request;
    }
    if (free_.size() == flights_.size())
        return nullptr;
    return reap();
}

Result<io_uring> open_ring(std::uint32_t depth) {
    io_uring ring{};
    const int rc = io_uring_queue_init(depth, &ring, 0);
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

class UringDisk final : public Disk {
  public:
    explicit UringDisk(TierFile file) : file_(std::move(file)) {}

    Result<std::unique_ptr<IoQueue>> open_queue(std::uint32_t depth) override {
        const std::uint32_t entries = std::clamp(depth, 1U, kMostDepth);
        Result<io_uring> ring = open_ring(entries);
        if (!ring)
            return tl::unexpected<Error>(ring.error());
        return std::make_unique<UringQueue>(file_.fd.get(), *ring, entries);
    }
    int discard(std::uint64_t offset, std::uint64_t length) override;
    std::uint64_t size() const override { return file_.size; }
    bool direct() const override { return file_.direct; }

  private:
    TierFile file_;
};

int UringDisk::discard(std::uint64_t offset, std::uint64_t length) {
    int rc = 0;
    do {
        if (file_.block_device) {
            std::uint64_t range[2] = {offset, length};
            rc = ioctl(file_.fd.get(), BLKDISCARD, range);
        } else {
            rc = fallocate(file_.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(offset), static_cast<off_t>(length));
        }
    } while (rc != 0 && errno == EINTR);
    // A disk that cannot forget just keeps the bytes; nobody reads them.
    if (rc == 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == ENOTTY)
        return 0;
    return errno;
}

} // namespace

Result<std::unique_ptr<Disk>>
open_uring_disk(const std::string &path, std::uint64_t capacity,
                const std::function<void(const std::string &)> &warn) {
    Result<TierFile> file = open_tier_file(path, capacity, warn);
    if (!file)
        return tl::unexpected<Error>(file.error());
    // Asked now, so that a missing permission is told before the guest runs.
    Result<io_uring> ring = open_ring(1);
    if (!ring)
        return tl::unexpected<Error>(
            Error{ring.error().code, "tier path '" + path + "': " + ring.error().sentence});
    io_uring_queue_exit(&*ring);
    return std::make_unique<UringDisk>(std::move(*file));
}

} // namespace tidemark
