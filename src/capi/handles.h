// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the files of this folder share: what is behind the handles, and how an error becomes a sentence and a
// number.
#pragma once

#include "capi/tidemark.h"
#include "engine/backend.h"
#include "migrate/guest_writes.h"
#include "migrate/landing.h"
#include "predict/learner.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

struct tidemark_engine {
    tidemark_log_fn *log = nullptr;
    void *log_opaque = nullptr;
    tidemark::Mutex mutex;
    std::vector<tidemark_backend *> backends TIDEMARK_GUARDED_BY(mutex);
};

struct tidemark_backend {
    tidemark_engine *engine = nullptr;
    std::unique_ptr<tidemark::Backend> backend;
    std::unique_ptr<tidemark::Learner> learner; // from attach on; goes before the backend
    std::uint64_t block_size = 0;
    bool attached = false;
    // Where the pages of an arriving guest go; while they are placed, by any thread, it does not change.
    std::unique_ptr<tidemark::Landing> landing;
    std::atomic<const tidemark::Landing *> landing_now{nullptr};
    std::vector<std::uint8_t> warmed; // meanwhile, at the old host: temperatures
    std::vector<bool> told;           // pages that the new host knows, or will, to be in use here
};

struct tidemark_writes : tidemark::GuestWrites {
    using GuestWrites::GuestWrites;
};

namespace tidemark {

inline void say(char *msg, std::size_t msg_size, const std::string &sentence) {
    if (msg != nullptr && msg_size != 0)
        std::snprintf(msg, msg_size, "%s", sentence.c_str());
}

inline int report(char *msg, std::size_t msg_size, const Error &error) {
    say(msg, msg_size, error.sentence);
    return -error.code;
}

// Runs body; out of memory and anything else unexpected become -errno.
template <typename Body> auto guarded(Body &&body) noexcept -> decltype(body()) {
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return static_cast<decltype(body())>(-ENOMEM);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "tidemark: unexpected: %s\n", error.what());
        return static_cast<decltype(body())>(-EIO);
    }
}

inline int range_error(const tidemark_backend *backend, std::uint64_t offset,
                       std::uint64_t length) {
    if (!backend->attached)
        return ENOTCONN;
    if (offset > backend->block_size || length > backend->block_size - offset)
        return ERANGE;
    return 0;
}

inline int page_range_error(const tidemark_backend *backend, std::uint64_t offset,
                            std::uint64_t length) {
    if (offset % kPageSize != 0 || length % kPageSize != 0)
        return EINVAL;
    return range_error(backend, offset, length);
}

inline PageRun run_of(std::uint64_t offset, std::uint64_t length) {
    return {PageIndex{static_cast<std::uint32_t>(offset / kPageSize)},
            static_cast<std::uint32_t>(length / kPageSize)};
}

} // namespace tidemark
