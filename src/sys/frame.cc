// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/frame.h"

#include "sys/uapi_mman.h"

#include <cerrno>
#include <cstring>
#include <string>

namespace tidemark {

namespace {
constexpr std::size_t kFrameSize = kFramePages * kPageSize;
} // namespace

Result<std::unique_ptr<Frame>> Frame::map() {
    // Twice the size has an aligned frame in it; what lies around that goes back.
    void *map = mmap(nullptr, 2 * kFrameSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return fail(errno,
                    std::string("no address space for a frame of 2 MiB: ") + std::strerror(errno));
    std::byte *const start = static_cast<std::byte *>(map);
    const std::size_t past = reinterpret_cast<std::uintptr_t>(map) % kFrameSize;
    std::byte *const data = start + (past == 0 ? 0 : kFrameSize - past);
    if (data != start)
        munmap(start, static_cast<std::size_t>(data - start));
    munmap(data + kFrameSize, static_cast<std::size_t>(start + kFrameSize - data));
    std::unique_ptr<Frame> frame(new Frame(data));
    // A page that a child of fork() shares can't be moved. A kernel without huge pages answers EINVAL
    // to the second, and single pages do as well.
    if (madvise(data, kFrameSize, MADV_DONTFORK) != 0 ||
        (madvise(data, kFrameSize, MADV_HUGEPAGE) != 0 && errno != EINVAL))
        return fail(errno, std::string("madvise() on a frame failed: ") + std::strerror(errno));
    return frame;
}

Frame::~Frame() {
    munmap(data_, kFrameSize);
}

int Frame::fill() {
    while (madvise(data_, kFrameSize, MADV_POPULATE_WRITE) != 0) {
        if (errno == EINTR || errno == EAGAIN)
            continue;
        if (errno != EINVAL)
            return errno;
        // A kernel that does not know the advice: a write that changes nothing does the same.
        for (std::size_t at = 0; at < kFrameSize; at += kPageSize) {
            volatile std::byte *const byte = data_ + at;
            *byte = *byte;
        }
        return 0;
    }
    return 0;
}

int Frame::drop() {
    return madvise(data_, kFrameSize, MADV_DONTNEED) == 0 ? 0 : errno;
}

} // namespace tidemark
