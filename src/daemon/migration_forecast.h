// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a live migration of a guest would cost, as its QEMU says (query-migrate-forecast), and how right such
// forecasts were.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tidemark::daemon {

// As likely more as less, and at most that in nine of ten.
struct ForecastBound {
    std::uint64_t p50 = 0, p90 = 0;
};

// A forecast and what came.
struct ForecastOutcome {
    ForecastBound total_ms, bytes, downtime_us;
    std::uint64_t actual_total_ms = 0, actual_bytes = 0, actual_downtime_us = 0;
};

struct MigrationForecast {
    std::string verdict; // "converges", "will-not-converge", "unknown"
    std::string reason;  // a sentence
    double chance = 0;   // that it comes to an end
    bool running = false;
    std::uint64_t bandwidth = 0, downtime_limit_ms = 0; // reckoned with
    ForecastBound total_ms, bytes, downtime_ms;
    std::uint64_t irreducible = 0; // bytes
    double watched_s = 0;          // the guest's writes
    std::optional<ForecastOutcome> outcome;
    std::string outcome_json; // of the last migration that completed, as QEMU wrote it; empty: none
};

Result<MigrationForecast> parse_forecast(const nlohmann::json &answer);
Result<ForecastOutcome> parse_outcome(const nlohmann::json &outcome);

// How the kept ones did. The share that was within p90 should be near 0.9.
struct ForecastScore {
    struct Figure {
        double within_p90 = 0;   // share
        double median_error = 0; // |p50 - actual| / actual
    };
    std::size_t count = 0;
    Figure total, bytes, downtime;
};
ForecastScore score_of(std::span<const ForecastOutcome> outcomes);

} // namespace tidemark::daemon
