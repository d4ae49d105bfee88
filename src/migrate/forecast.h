// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a migration would cost: time, bytes and downtime with bounds, or that it will not come to an end, why, and what
// would help. Found by playing it through many times, with what isn't known well drawn anew each time.
#pragma once

#include "migrate/forecast_errors.h"
#include "migrate/precopy_run.h"

#include <string>
#include <vector>

namespace tidemark {

enum class Verdict { unknown, converges, will_not };

enum class RemedyKind {
    predictor, // send in the order of the plan
    wait,      // until a quieter phase; value: seconds from now
    bandwidth, // value: bytes a second
    downtime,  // a longer one allowed; value: seconds
    throttle,  // value: 0 .. 1, the share of its time that the guest is held back
    postcopy,
};

struct Remedy {
    RemedyKind kind = RemedyKind::postcopy;
    double value = 0;
    double cost =
        0; // what it costs the guest, about in seconds; forecast_remedies.cc says how they compare
    Run with; // what the migration would be
};

struct ForecastTerms {
    double bandwidth = 0;          // bytes a second
    double bandwidth_doubt = 0.03; // standard deviation over value
    bool bandwidth_set = false;    // a setting holds it down; else the link gives no more
    double downtime_limit = 0.3;   // seconds
    double reserve = 0;            // of the limit, seconds: kept for what isn't memory
    double overhead = 0.005;       // of the downtime, seconds: what isn't memory
    bool planned = false;
    bool running = false; // a migration is: classes' `pending` is what is left
    double seconds_so_far = 0, bytes_so_far = 0;
    double patience = 0; // seconds; 0: patience_of()
    double already_slowed =
        0; // 0 .. 1: the guest is held back so much now; the model was learnt so
};

struct Forecast {
    Verdict verdict = Verdict::unknown;
    double chance = 0; // that it converges: 0 .. 1
    Bound seconds, bytes,
        downtime;           // of the whole migration; if it does not converge, until patience ends
    Bounds raw;             // the same without what earlier errors taught
    double irreducible = 0; // bytes that have to be sent at one time at least, in any order
    double quiet_in = 0;    // seconds until it is quieter; infinite if that isn't known to happen
    std::string reason;     // one sentence
    std::vector<Remedy> remedies; // the cheapest first; none if it converges as it is
};

// How long a migration may take without being called endless: some times what sending everything takes.
double patience_of(const WriteModel &model, const ForecastTerms &terms);

Forecast forecast_precopy(const WriteModel &model, const ForecastTerms &terms,
                          const ForecastErrors &errors);

// The model's parameters, drawn again within their doubts; draw 0 is the model as it is.
WriteModel drawn(const WriteModel &model, std::uint64_t draw);
RunTerms drawn_terms(const ForecastTerms &terms, double patience, std::uint64_t draw);

// All that make it converge, the cheapest first.
std::vector<Remedy> remedies_of(const WriteModel &model, const ForecastTerms &terms,
                                double patience);

} // namespace tidemark
