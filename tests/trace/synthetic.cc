// SPDX-License-Identifier: GPL-2.0-or-later
#include "scan_mix.h"

#include "perf/orders.h"

namespace tidemark::trace {

PageTrace make_scan_mix(const ScanMix &mix) {
    constexpr std::uint32_t kPerWindow = 100; // an access is one of 100 in a millisecond
    perf::ZipfOrder hot(mix.seed, mix.hot);
    PageTrace trace;
    trace.name = "scan mix";
    trace.pages = mix.hot + mix.archive;
    trace.window_instructions = 1000000;
    for (std::uint32_t scan = 0; scan < mix.scans; ++scan) {
        for (std::uint32_t i = 0; i < mix.between; ++i)
            trace.accesses.push_back({static_cast<std::uint32_t>(hot.next()), i % 4 == 0});
        for (std::uint32_t i = 0; i < mix.archive; ++i)
            trace.accesses.push_back({mix.hot + i, false});
    }
    const auto count = static_cast<std::uint32_t>(trace.accesses.size());
    for (std::uint32_t end = kPerWindow; end < count; end += kPerWindow)
        trace.window_ends.push_back(end);
    trace.window_ends.push_back(count);
    return trace;
}

} // namespace tidemark::trace
