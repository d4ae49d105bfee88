// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the engine knows of where pages are, given to the profiler with each tick. The spans need only live
// for the call.
#pragma once

#include <cstdint>
#include <span>

namespace tidemark {

struct Residency {
    // False while the guest runs as stock and nothing is seen of it: silence then means nothing.
    bool watching = false;
    // Per 2 MiB region: pages mapped; and pages on probation: in DRAM but out of the guest's sight (staged or
    // being written), so that their next use is seen. Prefetched pages that wait there are better left out,
    // because they were not put to the test: with them, estimates are lower. `staged` may be empty if
    // that is not known by region.
    std::span<const std::uint16_t> resident;
    std::span<const std::uint16_t> staged;
    // Of the whole block. stored: the only copy is in a tier.
    std::uint64_t resident_pages = 0, staged_pages = 0, stored_pages = 0;
    std::uint64_t dram_limit_pages = 0;

    std::uint64_t dram_pages() const { return resident_pages + staged_pages; }
    std::uint64_t pages() const { return dram_pages() + stored_pages; }
};

} // namespace tidemark
