// SPDX-License-Identifier: GPL-2.0-or-later
//
// The part of the C interface that is about pages at another host.
#include "engine/postcopy.h"
#include "base/warmth.h"
#include "capi/handles.h"

#include <algorithm>

using namespace tidemark;

static_assert(TIDEMARK_COOLEST == temperature::coolest && TIDEMARK_WARMEST == temperature::hottest);

extern "C" {

int tidemark_backend_remote_begin(tidemark_backend *backend, tidemark_wanted_fn *wanted,
                                  void *opaque, char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (auto begun = Postcopy::begin(*backend->backend, [wanted, opaque] { wanted(opaque); });
            !begun)
            return report(msg, msg_size, begun.error());
        return 0;
    });
}

int tidemark_backend_remote_mark(tidemark_backend *backend, uint64_t offset,
                                 uint64_t length) noexcept {
    return guarded([&]() -> int {
        if (const int error = page_range_error(backend, offset, length); error != 0)
            return -error;
        return Postcopy::mark(*backend->backend, run_of(offset, length)) ? 0 : -EINVAL;
    });
}

int64_t tidemark_backend_remote_wanted(tidemark_backend *backend, tidemark_wanted *wanted,
                                       size_t max) noexcept {
    return guarded([&]() -> int64_t {
        const auto pages = Postcopy::take_wanted(*backend->backend, max);
        std::transform(pages.begin(), pages.end(), wanted, [](const WantedPage &one) {
            return tidemark_wanted{one.page.byte_offset(), one.thread_id};
        });
        return static_cast<int64_t>(pages.size());
    });
}

int tidemark_backend_remote_deliver(tidemark_backend *backend, uint64_t offset,
                                    const void *bytes) noexcept {
    return guarded([&]() -> int {
        if (const int error = page_range_error(backend, offset, kPageSize); error != 0)
            return -error;
        return -Postcopy::deliver(*backend->backend, run_of(offset, kPageSize).first,
                                  static_cast<const std::byte *>(bytes));
    });
}

int64_t tidemark_backend_remote_end(tidemark_backend *backend) noexcept {
    return guarded([&]() -> int64_t { return Postcopy::end(*backend->backend); });
}

int64_t tidemark_backend_warmth(tidemark_backend *backend, uint8_t *levels, size_t pages) noexcept {
    return guarded([&]() -> int64_t {
        if (!backend->attached)
            return -ENOTCONN;
        const auto known = backend->backend->temperatures();
        const std::size_t count = std::min(pages, known.size());
        std::copy_n(known.begin(), count, levels);
        return static_cast<int64_t>(count);
    });
}

bool tidemark_engine_thread_remote(tidemark_engine *engine, int32_t tid) noexcept {
    MutexLock lock(engine->mutex);
    return std::any_of(
        engine->backends.begin(), engine->backends.end(),
        [tid](tidemark_backend *b) { return Postcopy::thread_waits(*b->backend, tid); });
}

} // extern "C"
