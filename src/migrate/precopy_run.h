// SPDX-License-Identifier: GPL-2.0-or-later
//
// One precopy, played through from now to its end: how many pages of each class are dirty at each look at the dirty
// log, as expected values. It costs a few hundred steps however large the guest is.
#pragma once

#include "migrate/write_model.h"

#include <cstdint>

namespace tidemark {

// What a page takes in the stream: its bytes and where it belongs.
inline constexpr double kSentPage = 4096 + 8, kSentZeroPage = 9;

struct RunTerms {
    double bandwidth = 0;      // bytes a second
    double downtime_limit = 0; // seconds
    double reserve = 0;        // seconds of the limit that aren't used for memory
    double overhead = 0;       // seconds of downtime that aren't spent on memory
    bool planned = false; // in the order of the plan; else in that of addresses, as stock QEMU does
    double patience = 60; // seconds after which it counts as not converging
    double slowdown = 0;  // 0 .. 1: the share of its time that the guest is held back
    double start = 0;     // seconds from now
    // How far sending goes on, in pieces of kPiece, after the limit was reached: 0 .. 1
    double past = 0.5;
    // Whether a sweep writes what wasn't sent yet as often as the rest (0), or never (1), while pages are sent in the
    // order of addresses: the two walk at paces of their own.
    double apart = 0.5;
};

struct Run {
    bool converged = false;
    double seconds = 0, bytes = 0, downtime = 0; // of the whole, switch-over included
    double least = 0; // pages: the fewest that had to be sent at one time
    unsigned syncs = 0;
};

Run run_precopy(const WriteModel &model, const RunTerms &terms);

} // namespace tidemark
