// SPDX-License-Identifier: GPL-2.0-or-later
//
// The C interface. Only this file is extern "C"; it translates, and lets no exception out.
#include "capi/tidemark.h"

#include "capi/options.h"
#include "capi/stats.h"
#include "engine/backend.h"
#include "predict/working_set.h"
#include "sys/whole_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

struct tidemark_engine {
    tidemark_log_fn *log = nullptr;
    void *log_opaque = nullptr;
    tidemark::Mutex mutex;
    std::vector<tidemark_backend *> backends TIDEMARK_GUARDED_BY(mutex);
};

struct tidemark_backend {
    tidemark_engine *engine = nullptr;
    std::unique_ptr<tidemark::Backend> backend;
    std::uint64_t block_size = 0;
    bool attached = false;
};

namespace {

using namespace tidemark;

void say(char *msg, std::size_t msg_size, const std::string &sentence) {
    if (msg != nullptr && msg_size != 0)
        std::snprintf(msg, msg_size, "%s", sentence.c_str());
}

int report(char *msg, std::size_t msg_size, const Error &error) {
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

int range_error(const tidemark_backend *backend, std::uint64_t offset, std::uint64_t length) {
    if (!backend->attached)
        return ENOTCONN;
    if (offset > backend->block_size || length > backend->block_size - offset)
        return ERANGE;
    return 0;
}

int page_range_error(const tidemark_backend *backend, std::uint64_t offset, std::uint64_t length) {
    if (offset % kPageSize != 0 || length % kPageSize != 0)
        return EINVAL;
    return range_error(backend, offset, length);
}

PageRun run_of(std::uint64_t offset, std::uint64_t length) {
    return {PageIndex{static_cast<std::uint32_t>(offset / kPageSize)},
            static_cast<std::uint32_t>(length / kPageSize)};
}

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
                                               std::move(*disk), capacity));
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

int tidemark_backend_prefetch(tidemark_backend *backend, uint64_t offset, uint64_t length,
                              tidemark_tier_class target, char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (const int error = page_range_error(backend, offset, length); error != 0)
            return report(msg, msg_size,
                          {error, "offset " + std::to_string(offset) + " and length " +
                                      std::to_string(length) +
                                      " must be multiples of 4096 inside the block of " +
                                      std::to_string(backend->block_size) + " bytes"});
        if (target != TIDEMARK_TIER_DRAM && target != TIDEMARK_TIER_NVME)
            return report(msg, msg_size, {EINVAL, "a prefetch goes to dram or nvme, not to qlc"});
        if (!backend->backend->prefetch(run_of(offset, length), target == TIDEMARK_TIER_DRAM))
            return report(msg, msg_size,
                          {EAGAIN, "too much is queued for prefetch already: try again later"});
        return 0;
    });
}

int tidemark_backend_record_start(tidemark_backend *backend, char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (!backend->attached)
            return -ENOTCONN;
        if (backend->backend->start_recording())
            return 0;
        return report(msg, msg_size,
                      {EALREADY, "a working set is being recorded already; save it first"});
    });
}

int tidemark_backend_record_save(tidemark_backend *backend, const char *path, uint64_t *pages,
                                 char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        auto runs = backend->backend->stop_recording();
        if (!runs)
            return report(msg, msg_size, {ENODATA, "no working set is being recorded"});
        const WorkingSet set{backend->block_size, std::move(*runs)};
        *pages = set.pages();
        if (path == nullptr)
            return 0;
        const auto written = write_whole_file(path, encode(set));
        return written ? 0 : report(msg, msg_size, written.error());
    });
}

int tidemark_backend_replay(tidemark_backend *backend, const char *path, uint64_t *pages, char *msg,
                            size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (!backend->attached)
            return -ENOTCONN;
        const auto bytes = read_whole_file(path, working_set_bytes_most(backend->block_size));
        if (!bytes)
            return report(msg, msg_size, bytes.error());
        const auto set = decode_working_set(*bytes, backend->block_size);
        if (!set)
            return report(msg, msg_size,
                          {set.error().code, std::string(path) + ": " + set.error().sentence});
        *pages = set->pages();
        if (!backend->backend->prefetch(set->runs))
            return report(msg, msg_size,
                          {EAGAIN, "too much is queued for prefetch already: try again later"});
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
