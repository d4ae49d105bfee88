// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tables and the verdicts that trace_replay prints.
#pragma once

#include "contestants.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tidemark::trace {

struct ReportOptions {
    bool json = false;
    bool search = true;                              // for the memory needed, the slow part
    std::vector<unsigned> shares = {10, 25, 50, 75}; // of the footprint, percent
    double refaults = 1;                             // percent, for the memory needed
    Guest guest;
};

// Replays each trace and the scan mix. Targets met or missed are said so; they fail nothing.
void report(std::span<const PageTrace> traces, const ReportOptions &options);

} // namespace tidemark::trace
