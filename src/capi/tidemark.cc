// SPDX-License-Identifier: GPL-2.0-or-later
//
// The C interface, but for what is about the future (foresight.cc). It translates, and lets no exception out.
#include "capi/tidemark.h"

#include "capi/handles.h"
#include "capi/options.h"
#include "capi/stats.h"
#include "sys/host_pressure.h"
#include "sys/uring_queue.h"

#include <algorithm>
#include <cstring>

namespace {

using namespace tidemark;

Listener listener_for(const tidemark_engine *engine, const tidemark_backend_options &options) {
    Listener listener;
    if (options.event != nullptr)
        listener.event = [event = options.event, opaque = options.event_opaque](const Event &e) {
            const tidemark_event out{static_cast<tidemark_event_kind>(e.kind), e.tier,
                                     e.page.byte_offset(), e.error};
            event(opaque, &out);
        };
    if (engine->log != nullptr)
        listener.log = [log = engine->log, opaque = engine->log_opaque](LogLevel level,
                                                                        const std::string &text) {
            log(opaque, static_cast<tidemark_log_level>(level), text.c_str());
        };
    if (input_waits_are_quiet()) // else our own waits look like a busy disk
        listener.io_pressure = host_io_pressure;
    return listener;
}

Result<std::vector<std::unique_ptr<Tier>>> open_tiers(const tidemark_backend_options &options,
                                                      const Listener &listener) {
    std::vector<std::unique_ptr<Tier>> tiers;
    for (std::uint32_t i = 0; i < options.tier_count; ++i) {
        const tidemark_tier_options &spec = options.tiers[i];
        auto disk = open_uring_disk(spec.path, spec.capacity, [&](const std::string &sentence) {
            if (listener.log)
                listener.log(LogLevel::warn, sentence);
        });
        if (!disk)
            return tl::unexpected<Error>(disk.error());
        const std::uint64_t capacity = spec.capacity != 0 ? spec.capacity : (*disk)->size();
        tiers.push_back(std::make_unique<Tier>(static_cast<TierClass>(spec.tier_class),
                                               std::move(*disk), capacity, spec.write_budget));
    }
    return tiers;
}

tidemark_config merge(tidemark_config base, const tidemark_config &change, std::uint32_t mask) {
    if ((mask & TIDEMARK_CONFIG_DRAM_LIMIT) != 0)
        base.dram_limit = change.dram_limit;
    if ((mask & TIDEMARK_CONFIG_POLICY) != 0)
        base.policy = change.policy;
    if ((mask & TIDEMARK_CONFIG_COLD_AGE) != 0)
        base.cold_age = change.cold_age;
    if ((mask & TIDEMARK_CONFIG_PREFETCH) != 0)
        base.prefetch = change.prefetch;
    if ((mask & TIDEMARK_CONFIG_PREFETCH_WINDOW) != 0)
        base.prefetch_window = change.prefetch_window;
    if ((mask & TIDEMARK_CONFIG_LEARN) != 0)
        base.learn = change.learn;
    if ((mask & TIDEMARK_CONFIG_PREDICTORS) != 0)
        base.predictors = change.predictors;
    if ((mask & TIDEMARK_CONFIG_RECLAIM_SLOWDOWN) != 0)
        base.reclaim_slowdown = change.reclaim_slowdown;
    return base;
}

} // namespace

extern "C" {

const char *tidemark_version(void) noexcept {
    return TIDEMARK_VERSION;
}

void tidemark_engine_options_init(tidemark_engine_options *options) noexcept {
    *options = {};
    options->size = sizeof(*options);
}

void tidemark_backend_options_init(tidemark_backend_options *options) noexcept {
    *options = {};
    options->size = sizeof(*options);
    options->config = to_c(BackendConfig{});
}

void tidemark_prefetch_terms_init(tidemark_prefetch_terms *terms) noexcept {
    *terms = {sizeof(*terms), TIDEMARK_TIER_DRAM, 1, 0};
}

uint32_t tidemark_default_predictors(void) noexcept {
    return BackendConfig{}.predictors;
}

int tidemark_engine_create(const tidemark_engine_options *options, tidemark_engine **engine,
                           char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (options->size != sizeof(*options))
            return report(msg, msg_size,
                          {EINVAL, "the program and libtidemark disagree about the size of "
                                   "tidemark_engine_options: they are of different versions"});
        auto made = std::make_unique<tidemark_engine>();
        made->log = options->log;
        made->log_opaque = options->log_opaque;
        *engine = made.release();
        return 0;
    });
}

int tidemark_engine_destroy(tidemark_engine *engine) noexcept {
    {
        MutexLock lock(engine->mutex);
        if (!engine->backends.empty())
            return -EBUSY;
    }
    delete engine;
    return 0;
}

int tidemark_backend_create(tidemark_engine *engine, const tidemark_backend_options *options,
                            tidemark_backend **backend, char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (options->size != sizeof(*options))
            return report(msg, msg_size,
                          {EINVAL, "the program and libtidemark disagree about the size of "
                                   "tidemark_backend_options: they are of different versions"});
        if (auto checked = check_options(*options); !checked)
            return report(msg, msg_size, checked.error());
        if (auto probed = probe_userfaultfd(); !probed)
            return report(msg, msg_size, probed.error());
        const Listener listener = listener_for(engine, *options);
        auto tiers = open_tiers(*options, listener);
        if (!tiers)
            return report(msg, msg_size, tiers.error());
        auto made = std::make_unique<tidemark_backend>();
        made->engine = engine;
        made->block_size = options->block_size;
        made->backend = std::make_unique<Backend>(options->id, to_engine(options->config),
                                                  std::move(*tiers), listener);
        MutexLock lock(engine->mutex);
        engine->backends.push_back(made.get());
        *backend = made.release();
        return 0;
    });
}

int tidemark_backend_attach(tidemark_backend *backend, void *host, char *msg,
                            size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (backend->attached)
            return report(msg, msg_size, {EALREADY, "the backend has its memory already"});
        const auto pages = static_cast<std::uint32_t>(backend->block_size / kPageSize);
        auto memory = make_userfaultfd_memory(backend->backend->id().c_str(), host, pages);
        if (!memory)
            return report(msg, msg_size, memory.error());
        if (auto attached = backend->backend->attach(std::move(*memory), pages); !attached)
            return report(msg, msg_size, attached.error());
        backend->learner = std::make_unique<Learner>(*backend->backend);
        backend->attached = true;
        return 0;
    });
}

void tidemark_backend_destroy(tidemark_backend *backend) noexcept {
    if (backend == nullptr)
        return;
    {
        MutexLock lock(backend->engine->mutex);
        std::erase(backend->engine->backends, backend);
    }
    delete backend;
}

int tidemark_backend_configure(tidemark_backend *backend, const tidemark_config *config,
                               uint32_t mask, char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        const tidemark_config wanted = merge(to_c(backend->backend->config()), *config, mask);
        if (auto checked = check_config(wanted, backend->block_size); !checked)
            return report(msg, msg_size, checked.error());
        if (auto done = backend->backend->configure(to_engine(wanted)); !done)
            return report(msg, msg_size, done.error());
        return 0;
    });
}

int tidemark_backend_query(tidemark_backend *backend, tidemark_stats *stats) noexcept {
    return guarded([&]() -> int {
        if (stats->size != sizeof(*stats))
            return -EINVAL;
        *stats = {};
        stats->size = sizeof(*stats);
        stats->block_size = backend->block_size;
        copy_report(backend->backend->report(), *stats);
        return 0;
    });
}

int tidemark_backend_discard(tidemark_backend *backend, uint64_t offset, uint64_t length) noexcept {
    return guarded([&]() -> int {
        if (const int error = page_range_error(backend, offset, length); error != 0)
            return -error;
        backend->backend->discard(run_of(offset, length));
        return 0;
    });
}

int tidemark_backend_read(tidemark_backend *backend, uint64_t offset, void *buffer,
                          uint64_t length) noexcept {
    return guarded([&]() -> int {
        if (const int error = range_error(backend, offset, length); error != 0)
            return -error;
        alignas(kPageSize) std::array<std::byte, kPageSize> page;
        auto *out = static_cast<std::byte *>(buffer);
        while (length != 0) {
            const std::uint64_t inside = offset % kPageSize;
            const std::uint64_t part = std::min(length, kPageSize - inside);
            const PageIndex index{static_cast<std::uint32_t>(offset / kPageSize)};
            if (const int error = backend->backend->read_page(index, page); error != 0)
                return -error;
            std::memcpy(out, page.data() + inside, part);
            out += part;
            offset += part;
            length -= part;
        }
        return 0;
    });
}

bool tidemark_backend_is_zero(tidemark_backend *backend, uint64_t offset) noexcept {
    return range_error(backend, offset, 1) == 0 &&
           backend->backend->known_zero(run_of(offset, 0).first);
}

int64_t tidemark_backend_resolve(tidemark_backend *backend, uint64_t offset, uint64_t length,
                                 bool retry) noexcept {
    return guarded([&]() -> int64_t {
        if (length == 0) {
            offset = 0;
            length = backend->block_size;
        }
        if (const int error = page_range_error(backend, offset, length); error != 0)
            return -error;
        return static_cast<int64_t>(backend->backend->resolve(run_of(offset, length), retry));
    });
}

bool tidemark_engine_thread_held(tidemark_engine *engine, int32_t tid) noexcept {
    MutexLock lock(engine->mutex);
    return std::any_of(engine->backends.begin(), engine->backends.end(),
                       [tid](tidemark_backend *b) { return b->backend->thread_held(tid); });
}

uint64_t tidemark_engine_held_pages(tidemark_engine *engine) noexcept {
    MutexLock lock(engine->mutex);
    std::uint64_t pages = 0;
    for (tidemark_backend *backend : engine->backends)
        pages += backend->backend->held_pages();
    return pages;
}

} // extern "C"
