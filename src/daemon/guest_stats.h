// SPDX-License-Identifier: GPL-2.0-or-later
//
// What query-tiered-memory and query-tiered-memory-profile said, as numbers; src/qemu/tiered-memory*.json
// say what each means. Parsing takes what is there: a member that is absent counts as 0, one of a
// wrong type makes the whole answer bad.
#pragma once

#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::daemon {

// More of anything than this in one answer is not believed.
inline constexpr std::size_t kMaxBackends = 256;
inline constexpr std::size_t kMaxTiers = 16;
inline constexpr std::size_t kMaxBuckets = 256;
inline constexpr std::size_t kMaxHeatCells = 4096;

// Pages by state; the same order as in kPageStates.
inline constexpr std::size_t kPageStateCount = 10;
inline constexpr std::array<const char *, kPageStateCount> kPageStates = {
    "untouched", "zero",       "resident", "staged",   "stored",
    "arrived",   "in-transit", "held",     "poisoned", "remote"};

struct HistogramBucket {
    std::uint64_t below = 0; // upper bound, not included
    std::uint64_t count = 0;
};

struct PrefetchStats {
    std::string origin;
    std::uint64_t issued = 0, used = 0, late = 0, wasted = 0; // pages
};

struct TierStats {
    std::string path;
    std::string klass; // "nvme" or "qlc"
    bool degraded = false;
    std::uint64_t capacity = 0, write_budget = 0, used = 0; // bytes
    std::uint64_t pages = 0;
    std::uint64_t read_bytes = 0, written_bytes = 0;
    std::uint64_t read_errors = 0, write_errors = 0, checksum_errors = 0;
};

struct CounterStats {
    std::uint64_t faults = 0, untouched = 0, staged = 0, stored = 0, arrived = 0, parked = 0;
    std::uint64_t refaults = 0;
    std::uint64_t readahead_pages = 0, readahead_used = 0;
    std::uint64_t prefetch_pages = 0, prefetch_declined = 0;
    std::vector<PrefetchStats> prefetch;
    std::uint64_t evicted_pages = 0, zero_elided = 0, clean_elided = 0;
    std::uint64_t promoted_pages = 0, demoted_pages = 0, discarded_pages = 0, move_busy = 0;
};

// One memory-backend-tiered object: a NUMA cell or a DIMM.
struct BackendStats {
    std::string id;
    std::uint64_t size = 0, dram_limit = 0, dram_used = 0, metadata_bytes = 0;
    std::uint64_t prefetch_queued = 0; // pages
    bool armed = false;
    // What is in force now, as QMP tells it.
    std::string eviction;
    std::uint32_t cold_age_s = 0, prefetch_window_s = 0, reclaim_slowdown_permille = 0;
    bool prefetch = false, learn = false;
    std::string group;
    std::array<std::uint64_t, kPageStateCount> pages{};
    std::vector<TierStats> tiers;
    CounterStats counters;
    std::vector<HistogramBucket> fault_latency; // ns
    std::uint64_t latency_p50_ns = 0, latency_p99_ns = 0, latency_p999_ns = 0;
};

struct MoreDram {
    std::uint64_t bytes = 0; // so much more of DRAM would have saved these shares
    double saved_waits = 0, saved_refaults = 0;
};

struct WorkingSetSize {
    std::uint32_t window_s = 0;
    std::uint64_t seen = 0, estimate = 0, untested = 0; // bytes
};

struct ColdSet {
    std::uint32_t age_s = 0;
    std::uint64_t bytes = 0, tested = 0;
};

// One backend's profile.
struct BackendProfile {
    std::string id;
    double seconds = 0;
    bool watching = false;
    std::vector<WorkingSetSize> working_set;
    std::vector<ColdSet> cold;
    double used_per_second = 0, written_per_second = 0, write_share = 0;
    double locality = 0, in_order = 0;
    double waits_per_second = 0, refaults_per_second = 0;
    std::vector<MoreDram> more_dram;
    std::uint32_t phase = 0, phases = 0;
    std::uint64_t phase_changes = 0;
    double phase_seconds = 0;
    std::string workload;
    double workload_confidence = 0;
    bool workload_labelled = false;
    std::uint64_t heat_cell_bytes = 0; // 0: not asked for
    std::vector<float> heat;
    std::uint64_t learner_bytes = 0;
    double learner_cpu_seconds = 0;
    double reclaim_slowdown = 0; // share of its time, 0 to 1
};

// The "return" of the two queries.
Result<std::vector<BackendStats>> parse_stats(const nlohmann::json &answer);
Result<std::vector<BackendProfile>> parse_profile(const nlohmann::json &answer);

} // namespace tidemark::daemon
