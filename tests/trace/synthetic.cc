// SPDX-License-Identifier: GPL-2.0-or-later
#include "synthetic.h"

#include "perf/orders.h"

#include <span>
#include <vector>

namespace tidemark::trace {

namespace {

// Windows of so many accesses, the last one perhaps of fewer.
void cut_windows(PageTrace &trace, std::uint32_t per_window) {
    const auto count = static_cast<std::uint32_t>(trace.accesses.size());
    for (std::uint32_t end = per_window; end < count; end += per_window)
        trace.window_ends.push_back(end);
    trace.window_ends.push_back(count);
}

} // namespace

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
    cut_windows(trace, kPerWindow);
    return trace;
}

PageTrace make_phase_mix(const PhaseMix &mix) {
    constexpr std::uint32_t kPerWindow = 20;
    const std::size_t extents = mix.pages / perf::kExtentPages;
    const std::vector<std::size_t> places = perf::shuffled(mix.seed, extents * mix.sets);
    PageTrace trace;
    trace.name = "phase mix";
    trace.pages = mix.pages * mix.sets;
    trace.window_instructions =
        static_cast<std::uint64_t>(mix.seconds * mix.mips * 1e6 * kPerWindow / mix.stay);
    std::uint64_t seed = mix.seed;
    for (std::uint32_t turn = 0; turn < mix.rounds * mix.sets; ++turn) {
        const std::uint32_t set = turn % mix.sets;
        const auto mine = std::span(places).subspan(set * extents, extents);
        const std::vector<std::size_t> order = perf::job_order(set, mine);
        perf::ExtentOrder any(++seed, mine);
        for (std::uint32_t i = 0; i < mix.stay; ++i)
            trace.accesses.push_back(
                {static_cast<std::uint32_t>(i < order.size() ? order[i] : any.next()), i % 4 == 0});
    }
    cut_windows(trace, kPerWindow);
    return trace;
}

} // namespace tidemark::trace
