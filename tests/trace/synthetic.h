// SPDX-License-Identifier: GPL-2.0-or-later
//
// Synthetic traces, for what the recorded guests do not do in their few seconds.
#pragma once

#include "page_trace.h"

#include <cstdint>

namespace tidemark::trace {

// A hot set whose pages are drawn by zipf 0.99, and an archive that is read once in order after every `between` hot
// accesses (a backup, a report, an indexer).
struct ScanMix {
    std::uint32_t hot = 16384, archive = 16384; // pages
    std::uint32_t between = 200000, scans = 5;
    std::uint64_t seed = 1;
};

PageTrace make_scan_mix(const ScanMix &mix);

// Working sets, pieces of 16 pages all over the memory, used in turn for a time each: all of a set in an order of its
// own, then any of it.
struct PhaseMix {
    std::uint32_t sets = 3, pages = 4096; // of each set
    std::uint32_t stay = 20000, rounds = 8;
    double seconds = 10; // of a stay, at `mips` million instructions a second
    double mips = 100;
    std::uint64_t seed = 1;
};

PageTrace make_phase_mix(const PhaseMix &mix);

} // namespace tidemark::trace
