// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a migration knows of one guest, behind one lock: the learner, and the plan of the precopy that runs.
#pragma once

#include "base/mutex.h"
#include "migrate/precopy.h"
#include "migrate/write_phases.h"

#include <cstddef>

namespace tidemark {

struct WritesSummary {
    std::uint64_t pages = 0, never = 0, hot = 0, regular = 0, silent = 0;
};

// Of a guest with very many pages, a part is looked at and the rest taken to be like it.
WritesSummary summarize(const Writes &writes);

PageHash hash_page(const std::byte *page, std::uint64_t seed);

struct GuestWrites {
    GuestWrites(Nanos now, std::uint64_t hash_seed) : writes(now), seed(hash_seed) {}

    mutable Mutex mutex;
    Writes writes TIDEMARK_GUARDED_BY(mutex);
    WritePhases phases TIDEMARK_GUARDED_BY(mutex);
    std::optional<Precopy> precopy TIDEMARK_GUARDED_BY(mutex);
    PrecopyCounts counts TIDEMARK_GUARDED_BY(mutex);  // of the last precopy
    bool observed TIDEMARK_GUARDED_BY(mutex) = false; // only, by the last precopy
    const std::uint64_t seed;
};

} // namespace tidemark
