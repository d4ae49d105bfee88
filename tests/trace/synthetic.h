// SPDX-License-Identifier: GPL-2.0-or-later
//
// A synthetic trace: a hot set whose pages are drawn by zipf 0.99, and an archive that is read once in order after
// every `between` hot accesses (a backup, a report, an indexer).
#pragma once

#include "page_trace.h"

#include <cstdint>

namespace tidemark::trace {

struct ScanMix {
    std::uint32_t hot = 16384, archive = 16384; // pages
    std::uint32_t between = 200000, scans = 5;
    std::uint64_t seed = 1;
};

PageTrace make_scan_mix(const ScanMix &mix);

} // namespace tidemark::trace
