// SPDX-License-Identifier: GPL-2.0-or-later
#include "capi/stats.h"

#include <algorithm>

namespace tidemark {

static_assert(kLatencyBuckets == TIDEMARK_LATENCY_BUCKETS);
static_assert(kWriteSizeBuckets == TIDEMARK_WRITE_SIZE_BUCKETS);
static_assert(kOrigins == TIDEMARK_ORIGINS);
static_assert(static_cast<int>(Origin::network) == TIDEMARK_ORIGIN_NETWORK);

namespace {

void copy_tier(const TierReport &from, tidemark_tier_stats &to) {
    to.tier_class = static_cast<tidemark_tier_class>(from.tier_class);
    to.degraded = from.degraded;
    to.direct_io = from.direct_io;
    to.capacity = from.capacity;
    to.used = from.used;
    to.pages = from.pages;
    to.read_bytes = from.read_bytes;
    to.written_bytes = from.written_bytes;
    to.read_errors = from.read_errors;
    to.write_errors = from.write_errors;
    to.checksum_errors = from.checksum_errors;
    std::copy(from.write_sizes.begin(), from.write_sizes.end(), to.write_sizes);
}

void copy_counters(const Counters &from, tidemark_stats &to) {
    to.faults = from.faults;
    to.faults_untouched = from.faults_untouched;
    to.faults_staged = from.faults_staged;
    to.faults_stored = from.faults_stored;
    to.faults_arrived = from.faults_arrived;
    to.faults_parked = from.faults_parked;
    to.refaults = from.faults_staged + from.faults_stored + from.faults_arrived;
    const PrefetchCounters &prefetch = from.prefetch;
    to.readahead_pages = prefetch.readahead(prefetch.issued);
    to.readahead_used = prefetch.readahead(prefetch.used);
    to.prefetch_pages = prefetch.ordered(prefetch.issued);
    std::copy(prefetch.issued.begin(), prefetch.issued.end(), to.prefetch_issued);
    std::copy(prefetch.used.begin(), prefetch.used.end(), to.prefetch_used);
    std::copy(prefetch.late.begin(), prefetch.late.end(), to.prefetch_late);
    std::copy(prefetch.wasted.begin(), prefetch.wasted.end(), to.prefetch_wasted);
    to.prefetch_declined = from.prefetch_declined;
    to.evicted_pages = from.evicted_pages;
    to.zero_elided = from.zero_elided;
    to.clean_elided = from.clean_elided;
    to.huge_moves = from.huge_moves;
    to.promoted_pages = from.promoted_pages;
    to.demoted_pages = from.demoted_pages;
    to.discarded_pages = from.discarded_pages;
    to.move_busy = from.move_busy;
}

} // namespace

tidemark_config to_c(const BackendConfig &config) {
    return {sizeof(tidemark_config),
            config.dram_limit,
            static_cast<tidemark_policy>(config.policy),
            config.cold_age,
            config.prefetch,
            config.prefetch_window,
            config.learn,
            config.predictors,
            config.reclaim_slowdown};
}

void copy_report(const BackendReport &from, tidemark_stats &to) {
    const auto count = [&from](PageState state) {
        return from.pages[static_cast<std::size_t>(state)];
    };
    to.config = to_c(from.config);
    to.armed = from.armed;
    to.dram_used = from.dram_used;
    to.dram_slack = from.dram_slack;
    to.metadata_bytes = from.metadata_bytes;
    to.untouched = count(PageState::untouched);
    to.zero = count(PageState::zero);
    to.resident = count(PageState::resident);
    to.staged = count(PageState::staged) + count(PageState::writing);
    to.stored = count(PageState::stored);
    to.arrived = count(PageState::arrived);
    to.in_transit =
        count(PageState::filling) + count(PageState::staging) + count(PageState::loading);
    to.held = count(PageState::held);
    to.poisoned = count(PageState::poisoned);
    copy_counters(from.counters, to);
    to.prefetch_queued = from.queued_prefetch_pages;
    std::copy(from.latency.begin(), from.latency.end(), to.latency);
    to.tier_count = static_cast<std::uint32_t>(from.tiers.size());
    for (std::size_t i = 0; i < from.tiers.size(); ++i)
        copy_tier(from.tiers[i], to.tiers[i]);
}

} // namespace tidemark
