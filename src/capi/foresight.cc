// SPDX-License-Identifier: GPL-2.0-or-later
//
// The part of the C interface that is about the future: orders to prefetch, recorded working sets, the profile
// and what is learnt from it.
#include "capi/tidemark.h"

#include "capi/handles.h"
#include "capi/stats.h"
#include "predict/working_set.h"
#include "sys/whole_file.h"

namespace {

using namespace tidemark;

constexpr std::size_t kLearnedMost = 256u << 20; // bytes of a file

Result<PrefetchTerms> terms_of(const tidemark_prefetch_terms &given) {
    if (given.target != TIDEMARK_TIER_DRAM && given.target != TIDEMARK_TIER_NVME)
        return fail(EINVAL, "a prefetch goes to dram or nvme, not to qlc");
    if (!(given.confidence > 0 && given.confidence <= 1))
        return fail(EINVAL, "confidence is " + std::to_string(given.confidence) +
                                "; it must be more than 0 and at most 1");
    PrefetchTerms terms;
    terms.to_dram = given.target == TIDEMARK_TIER_DRAM;
    terms.confidence = static_cast<float>(given.confidence);
    if (given.deadline_ms != 0)
        terms.until = Clock::now() + std::chrono::milliseconds(given.deadline_ms);
    return terms;
}

int order(tidemark_backend &backend, std::span<const PageRun> runs, const PrefetchTerms &terms,
          uint64_t *ticket, char *msg, size_t msg_size) {
    const auto queued = backend.backend->prefetch(runs, terms);
    if (!queued)
        return report(msg, msg_size,
                      {EAGAIN, "too much is queued for prefetch already: try again later"});
    if (ticket != nullptr)
        *ticket = *queued;
    return 0;
}

} // namespace

extern "C" {

int tidemark_backend_prefetch(tidemark_backend *backend, const tidemark_range *ranges, size_t count,
                              const tidemark_prefetch_terms *given, uint64_t *ticket, char *msg,
                              size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (given->size != sizeof(*given))
            return report(msg, msg_size,
                          {EINVAL, "the program and libtidemark disagree about the size of "
                                   "tidemark_prefetch_terms: they are of different versions"});
        const auto terms = terms_of(*given);
        if (!terms)
            return report(msg, msg_size, terms.error());
        std::vector<PageRun> runs;
        for (const tidemark_range &range : std::span(ranges, count)) {
            if (const int error = page_range_error(backend, range.offset, range.length); error != 0)
                return report(msg, msg_size,
                              {error, "offset " + std::to_string(range.offset) + " and length " +
                                          std::to_string(range.length) +
                                          " must be multiples of 4096 inside the block of " +
                                          std::to_string(backend->block_size) + " bytes"});
            runs.push_back(run_of(range.offset, range.length));
        }
        return order(*backend, runs, *terms, ticket, msg, msg_size);
    });
}

int64_t tidemark_backend_prefetch_cancel(tidemark_backend *backend, uint64_t ticket) noexcept {
    return guarded([&]() -> int64_t {
        if (!backend->attached)
            return -ENOTCONN;
        return static_cast<int64_t>(backend->backend->cancel_prefetch(ticket));
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
        PrefetchTerms terms;
        terms.origin = Origin::record;
        return order(*backend, set->runs, terms, nullptr, msg, msg_size);
    });
}

int tidemark_backend_profile(tidemark_backend *backend, tidemark_profile *profile) noexcept {
    return guarded([&]() -> int {
        if (profile->size != sizeof(*profile))
            return -EINVAL;
        const auto known = backend->learner ? backend->learner->report() : std::nullopt;
        if (!known)
            return -ENODATA;
        *profile = {};
        profile->size = sizeof(*profile);
        copy_profile(*known, *profile);
        profile->reclaim_slowdown = backend->backend->glance().reclaim_slowdown;
        return 0;
    });
}

int tidemark_backend_note_writes(tidemark_backend *backend, tidemark_writes *w,
                                 uint32_t block) noexcept {
    return guarded([&]() -> int {
        if (!backend->learner)
            return -ENOTCONN;
        const MutexLock lock(w->mutex);
        if (const auto found = w->writes.found(block); !found.empty())
            backend->learner->note_writes(found);
        return 0;
    });
}

int tidemark_backend_sketch(tidemark_backend *backend, uint64_t *values, size_t *count,
                            uint64_t *pages) noexcept {
    static_assert(ContentSketch::kMost == TIDEMARK_SKETCH_VALUES);
    return guarded([&]() -> int {
        if (!backend->attached)
            return -ENOTCONN;
        const ContentSketch sketch = backend->backend->content_sketch();
        std::copy(sketch.values().begin(), sketch.values().end(), values);
        *count = sketch.values().size();
        *pages = sketch.pages();
        return 0;
    });
}

int tidemark_backend_set_workload(tidemark_backend *backend, tidemark_workload workload) noexcept {
    return guarded([&]() -> int {
        if (static_cast<std::size_t>(workload) >= kWorkloadClasses)
            return -EINVAL;
        if (!backend->learner)
            return -ENOTCONN;
        backend->learner->set_label(workload == TIDEMARK_WORKLOAD_UNKNOWN
                                        ? std::nullopt
                                        : std::optional(static_cast<WorkloadClass>(workload)));
        return 0;
    });
}

int tidemark_backend_learned_save(tidemark_backend *backend, const char *path, char *msg,
                                  size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (!backend->learner || !backend->learner->learning())
            return report(msg, msg_size, {ENODATA, "nothing is learnt from this backend"});
        const auto written = write_whole_file(path, backend->learner->save());
        return written ? 0 : report(msg, msg_size, written.error());
    });
}

int tidemark_backend_learned_load(tidemark_backend *backend, const char *path, char *msg,
                                  size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (!backend->learner)
            return -ENOTCONN;
        const auto bytes = read_whole_file(path, kLearnedMost);
        if (!bytes)
            return report(msg, msg_size, bytes.error());
        const auto restored = backend->learner->restore(*bytes);
        return restored ? 0
                        : report(msg, msg_size,
                                 {restored.error().code,
                                  std::string(path) + ": " + restored.error().sentence});
    });
}

} // extern "C"
