// SPDX-License-Identifier: GPL-2.0-or-later
//
// The part of the C interface for guests that move from host to host: temperatures, and the pages that arrive.
#include "capi/tidemark.h"

#include "capi/handles.h"
#include "migrate/temperature.h"

#include <algorithm>
#include <utility>

namespace {

using namespace tidemark;

constexpr std::size_t kRunsAtOnce = 65536; // of an order, so that the queue takes what it can of it

// The share of them that may be expected to be used soon.
float confidence_of(std::uint8_t level) {
    constexpr float least = 0.55F, step = 0.03F;
    return least + step * static_cast<float>(level - temperature::probation);
}

void order_hot(tidemark_backend &backend, const Landing &landing) {
    for (const Landing::Group &group : landing.hot_groups()) {
        PrefetchTerms terms;
        terms.origin = Origin::record;
        terms.confidence = confidence_of(group.level);
        for (std::span<const PageRun> rest = group.runs; !rest.empty();) {
            const auto part = rest.first(std::min(rest.size(), kRunsAtOnce));
            if (!backend.backend->prefetch(part, terms))
                return; // enough is queued; what is left is cooler
            rest = rest.subspan(part.size());
        }
    }
}

bool in_reach(std::uint8_t level) {
    return level >= temperature::coolest;
}

int64_t put(std::span<const std::uint8_t> levels, void *buffer, std::size_t size) {
    const auto bytes = encode_temperatures(levels);
    if (bytes.size() > size)
        return -ENOBUFS;
    std::copy(bytes.begin(), bytes.end(), static_cast<std::byte *>(buffer));
    return static_cast<std::int64_t>(bytes.size());
}

Result<std::vector<std::uint8_t>> temperatures_for(const tidemark_backend &backend,
                                                   const void *bytes, std::size_t size) {
    return decode_temperatures(std::span(static_cast<const std::byte *>(bytes), size),
                               backend.backend->pages());
}

} // namespace

extern "C" {

size_t tidemark_temperatures_most(uint64_t block_size) noexcept {
    return temperature_bytes_most(block_size);
}

int64_t tidemark_backend_temperatures(tidemark_backend *backend, void *buffer,
                                      size_t size) noexcept {
    return guarded([&]() -> int64_t {
        if (!backend->attached)
            return -ENOTCONN;
        const auto levels = backend->backend->temperatures();
        if (levels.empty())
            return -ENODATA;
        backend->told.resize(levels.size());
        std::transform(levels.begin(), levels.end(), backend->told.begin(), in_reach);
        return put(levels, buffer, size);
    });
}

int64_t tidemark_backend_warmed(tidemark_backend *backend, void *buffer, size_t size) noexcept {
    return guarded([&]() -> int64_t {
        if (!backend->attached)
            return -ENOTCONN;
        auto levels = backend->backend->temperatures();
        if (levels.empty())
            return -ENODATA;
        backend->told.resize(levels.size());
        std::uint64_t warmed = 0;
        for (std::size_t i = 0; i < levels.size(); ++i) {
            if (!in_reach(levels[i]) || backend->told[i])
                levels[i] = temperature::none;
            warmed += levels[i] != temperature::none;
        }
        if (warmed == 0)
            return 0;
        const std::int64_t bytes = put(levels, buffer, size);
        for (std::size_t i = 0; bytes >= 0 && i < levels.size(); ++i)
            backend->told[i] = backend->told[i] || levels[i] != temperature::none;
        return bytes;
    });
}

int tidemark_backend_expect(tidemark_backend *backend, const void *temperatures, size_t size,
                            char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (!backend->attached)
            return -ENOTCONN;
        auto levels = temperatures_for(*backend, temperatures, size);
        if (!levels)
            return report(msg, msg_size, levels.error());
        const std::uint64_t limit = backend->backend->config().dram_limit / kPageSize;
        const std::uint64_t left = limit - std::min<std::uint64_t>(limit, Backend::buffer_pages());
        auto landing = std::make_unique<Landing>(
            std::move(*levels),
            static_cast<std::uint32_t>(std::min<std::uint64_t>(left, UINT32_MAX)));
        backend->landing_now = landing.get();
        backend->landing = std::move(landing);
        backend->warmed.clear();
        return 0;
    });
}

int tidemark_backend_expect_warmed(tidemark_backend *backend, const void *temperatures, size_t size,
                                   char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (!backend->attached)
            return -ENOTCONN;
        const auto levels = temperatures_for(*backend, temperatures, size);
        if (!levels)
            return report(msg, msg_size, levels.error());
        auto &warmed = backend->warmed;
        warmed.resize(levels->size());
        std::transform(levels->begin(), levels->end(), warmed.begin(), warmed.begin(),
                       [](std::uint8_t now, std::uint8_t before) { return std::max(now, before); });
        return 0;
    });
}

int tidemark_backend_place(tidemark_backend *backend, uint64_t offset, const void *bytes) noexcept {
    return guarded([&]() -> int {
        if (const int error = page_range_error(backend, offset, kPageSize); error != 0)
            return -error;
        const Landing *const landing = backend->landing_now;
        if (bytes != nullptr && landing == nullptr)
            return 1;
        const PageIndex page = run_of(offset, kPageSize).first;
        const Warmth warmth = landing != nullptr ? landing->warmth(page) : Warmth::warm;
        const Placed placed =
            backend->backend->place(page, static_cast<const std::byte *>(bytes), warmth);
        return placed == Placed::done ? 0 : placed == Placed::no_room ? -ENOSPC : 1;
    });
}

int tidemark_backend_place_end(tidemark_backend *backend, bool arrived,
                               tidemark_placed *placed) noexcept {
    return guarded([&]() -> int {
        if (placed != nullptr && placed->size != sizeof(*placed))
            return -EINVAL;
        if (!backend->attached)
            return -ENOTCONN;
        const PlaceCounters counters = backend->backend->end_placing();
        if (placed != nullptr)
            *placed = {sizeof(*placed), counters.mapped, counters.staged, counters.zero,
                       counters.again};
        backend->landing_now = nullptr;
        const auto landing = std::move(backend->landing);
        const auto warmed = std::exchange(backend->warmed, {});
        if (landing && arrived) {
            landing->warm(warmed);
            order_hot(*backend, *landing);
        }
        return 0;
    });
}

int tidemark_backend_erase(tidemark_backend *backend) noexcept {
    return guarded([&]() -> int {
        if (!backend->attached)
            return -ENOTCONN;
        backend->backend->erase();
        return 0;
    });
}

} // extern "C"
