// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a backend is told and what it reports, in the engine's own types.
#pragma once

#include "base/units.h"
#include "engine/page_table.h"
#include "engine/policy.h"
#include "store/tier.h"

#include <array>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

namespace tidemark {

constexpr std::uint32_t bit(Origin origin) {
    return 1u << static_cast<unsigned>(origin);
}
inline constexpr std::uint32_t kAllPredictors =
    bit(Origin::streams) | bit(Origin::successors) | bit(Origin::phases) | bit(Origin::network);

struct BackendConfig {
    std::uint64_t dram_limit = 0; // bytes
    PolicyKind policy = PolicyKind::lru;
    std::uint32_t cold_age = 120; // seconds unused, then DRAM to NVMe, and as many again, then QLC
    bool prefetch = true;
    std::uint32_t prefetch_window = 10;        // seconds
    bool learn = true;                         // log accesses for the profile and the forecasts
    std::uint32_t predictors = kAllPredictors; // bit per Origin that may bring pages in by itself
    std::uint32_t reclaim_slowdown = 20; // per mille of time that may be lost to reclaim; 0: none
};

enum class EventKind : std::uint8_t {
    page_held = 0,
    page_resolved = 1,
    tier_degraded = 2,
    tier_recovered = 3,
    pressure = 4,
};

struct Event {
    EventKind kind;
    std::uint32_t tier = 0;
    PageIndex page;
    int error = 0;
};

enum class LogLevel : std::uint8_t { info = 0, warn = 1, error = 2 };

// Where a backend speaks to, with no lock held; and whom it asks.
struct Listener {
    std::function<void(const Event &)> event;
    std::function<void(LogLevel, const std::string &)> log;
    // The share of time in which some task of the host waited for a disk, of late; 0 if not known.
    std::function<double()> io_pressure;
};

// Of pages brought in unasked, by who had them brought in.
struct PrefetchCounters {
    using PerOrigin = std::array<std::uint64_t, kOrigins>;
    PerOrigin issued{}; // reads begun
    PerOrigin
        used{}; // known to have been used: the walk went on behind them, or their use was seen
    PerOrigin late{};   // the guest came while they were being read
    PerOrigin wasted{}; // left DRAM, and a use would have been seen
    std::uint64_t readahead(const PerOrigin &counts) const {
        return counts[index_of(Origin::streams)] + counts[index_of(Origin::successors)];
    }
    std::uint64_t ordered(const PerOrigin &counts) const { // by orders in the prefetch queue
        return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}) - readahead(counts);
    }
};

struct Counters {
    std::uint64_t faults = 0, faults_untouched = 0, faults_staged = 0, faults_stored = 0;
    std::uint64_t faults_arrived = 0, faults_parked = 0;
    std::uint64_t faults_remote = 0, remote_wait_ns = 0; // for pages at another host
    std::uint64_t delivered_pages = 0;
    PrefetchCounters prefetch{};
    std::uint64_t prefetch_declined = 0; // orders' pages: not worth it, too late, or no room
    std::uint64_t evicted_pages = 0, zero_elided = 0, clean_elided = 0;
    std::uint64_t staged_late_pages = 0; // used in the second half of a probation without pressure
    std::uint64_t huge_moves = 0;        // 2 MiB that left R as one huge page
    std::uint64_t readahead_used() const { return prefetch.readahead(prefetch.used); }
    std::uint64_t promoted_pages = 0, demoted_pages = 0, discarded_pages = 0, move_busy = 0;
};

struct TierReport {
    TierClass tier_class = TierClass::nvme;
    bool degraded = false, direct_io = false;
    std::uint64_t capacity = 0, used = 0, pages = 0; // bytes, bytes, pages whose only copy is here
    std::uint64_t read_bytes = 0, written_bytes = 0;
    std::uint64_t read_errors = 0, write_errors = 0, checksum_errors = 0;
    std::array<std::uint64_t, kWriteSizeBuckets> write_sizes{};
};

inline constexpr std::size_t kLatencyBuckets = 80;

// What costs nothing to ask for.
struct BackendGlance {
    BackendConfig config;
    bool armed = false; // if not, the guest is not watched, and all its pages count as untouched
    std::array<std::uint64_t, kPageStates> pages{}; // by PageState
    Counters counters;
    double reclaim_slowdown = 0; // share of time lost to pages that had left, of late
};

struct BackendReport {
    BackendConfig config;
    bool armed = false;
    std::uint64_t dram_used = 0, dram_slack = 0, metadata_bytes = 0; // bytes
    std::array<std::uint64_t, kPageStates> pages{};                  // by PageState
    Counters counters;
    std::uint64_t queued_prefetch_pages = 0;
    std::uint64_t remote_waits = 0; // accesses that wait for pages at another host
    std::array<std::uint64_t, kLatencyBuckets> latency{};
    std::vector<TierReport> tiers;
};

} // namespace tidemark
