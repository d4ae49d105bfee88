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
#include <string>
#include <vector>

namespace tidemark {

struct BackendConfig {
    std::uint64_t dram_limit = 0; // bytes
    PolicyKind policy = PolicyKind::lru;
    std::uint32_t cold_age = 120; // seconds
    bool prefetch = true;
    std::uint32_t prefetch_window = 10; // seconds
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

// Where a backend speaks to. Both are called with no lock held.
struct Listener {
    std::function<void(const Event &)> event;
    std::function<void(LogLevel, const std::string &)> log;
};

struct Counters {
    std::uint64_t faults = 0, faults_untouched = 0, faults_staged = 0, faults_stored = 0;
    std::uint64_t faults_arrived = 0, faults_parked = 0;
    std::uint64_t readahead_pages = 0, readahead_used = 0, prefetch_pages = 0;
    std::uint64_t evicted_pages = 0, zero_elided = 0, clean_elided = 0;
    std::uint64_t huge_moves = 0; // 2 MiB that left R as one huge page
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

struct BackendReport {
    BackendConfig config;
    bool armed = false;
    std::uint64_t dram_used = 0, dram_slack = 0, metadata_bytes = 0; // bytes
    std::array<std::uint64_t, kPageStates> pages{};                  // by PageState
    Counters counters;
    std::array<std::uint64_t, kLatencyBuckets> latency{};
    std::vector<TierReport> tiers;
};

} // namespace tidemark
