// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/fault_queue.h"

#include "base/check.h"
#include "base/units.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace tidemark {

namespace {
__u64 address_of(const void *pointer) {
    return reinterpret_cast<__u64>(pointer);
}
} // namespace

Result<std::unique_ptr<FaultQueue>> FaultQueue::open(int uffd) {
    void *map =
        mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return fail(errno, std::string("no address space for the fault handlers' doorbell: ") +
                               std::strerror(errno));
    std::unique_ptr<FaultQueue> queue(new FaultQueue(uffd, static_cast<std::byte *>(map)));
    // In a process that locks all its memory (mlockall) the page is there from the start, and a touch of
    // it would tell nobody.
    uffdio_register request{};
    request.range = {address_of(map), kPageSize};
    request.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (munlock(map, kPageSize) != 0 || madvise(map, kPageSize, MADV_DONTFORK) != 0 ||
        madvise(map, kPageSize, MADV_DONTNEED) != 0 || ioctl(uffd, UFFDIO_REGISTER, &request) != 0)
        return fail(errno, std::string("the fault handlers' doorbell could not be registered with "
                                       "userfaultfd: ") +
                               std::strerror(errno));
    return queue;
}

FaultQueue::~FaultQueue() {
    uffdio_range range{address_of(doorbell_), kPageSize};
    ioctl(uffd_, UFFDIO_UNREGISTER, &range);
    ringer_.reset(); // joins
    munmap(doorbell_, kPageSize);
}

bool FaultQueue::is_doorbell(const uffd_msg &message) const {
    return message.event == UFFD_EVENT_PAGEFAULT &&
           message.arg.pagefault.address - address_of(doorbell_) < kPageSize;
}

// The ringer faults again, and the next handler is told.
void FaultQueue::pass_on() {
    uffdio_range range{address_of(doorbell_), kPageSize};
    TIDEMARK_CHECK(ioctl(uffd_, UFFDIO_WAKE, &range) == 0);
}

std::size_t FaultQueue::read(std::span<uffd_msg> messages) {
    TIDEMARK_CHECK(!messages.empty());
    while (!stopped_.load(std::memory_order_acquire)) {
        const ssize_t got = ::read(uffd_, messages.data(), messages.size_bytes());
        // EAGAIN does not happen to a blocking descriptor; asking again is right all the same.
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        TIDEMARK_CHECK(got >= static_cast<ssize_t>(sizeof(uffd_msg)));
        const auto end = messages.begin() + got / static_cast<ssize_t>(sizeof(uffd_msg));
        // Only the ringer touches the doorbell, and only once stopped_ is set; a message from anybody
        // else (a debugger that looks) is nothing to serve.
        const auto faults = std::remove_if(messages.begin(), end, [this](const uffd_msg &message) {
            return message.event != UFFD_EVENT_PAGEFAULT || is_doorbell(message);
        });
        if (stopped_.load(std::memory_order_acquire)) {
            pass_on();
            break;
        }
        if (faults != messages.begin())
            return static_cast<std::size_t>(faults - messages.begin());
    }
    return 0;
}

void FaultQueue::stop() {
    std::call_once(once_, [this] {
        stopped_.store(true, std::memory_order_release);
        ringer_.emplace("tm-doorbell", [this] {
            const volatile std::byte *const bell = doorbell_;
            (void)*bell;
        });
    });
}

} // namespace tidemark
