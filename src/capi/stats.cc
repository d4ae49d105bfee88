// SPDX-License-Identifier: GPL-2.0-or-later
#include "capi/stats.h"

#include <algorithm>

namespace tidemark {

static_assert(kLatencyBuckets == TIDEMARK_LATENCY_BUCKETS);
static_assert(kWriteSizeBuckets == TIDEMARK_WRITE_SIZE_BUCKETS);
static_assert(kOrigins == TIDEMARK_ORIGINS);
static_assert(Profiler::kHeatCells == TIDEMARK_HEAT_CELLS);
static_assert(static_cast<int>(WorkloadClass::idle) == TIDEMARK_WORKLOAD_IDLE);
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
    to.faults_remote = from.faults_remote;
    to.remote_wait_ns = from.remote_wait_ns;
    to.delivered_pages = from.delivered_pages;
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
    to.remote = count(PageState::remote);
    to.remote_waits = from.remote_waits;
    copy_counters(from.counters, to);
    to.prefetch_queued = from.queued_prefetch_pages;
    std::copy(from.latency.begin(), from.latency.end(), to.latency);
    to.tier_count = static_cast<std::uint32_t>(from.tiers.size());
    for (std::size_t i = 0; i < from.tiers.size(); ++i)
        copy_tier(from.tiers[i], to.tiers[i]);
}

void copy_profile(const Learner::Report &from, tidemark_profile &to) {
    const ProfileReport &profile = from.profile;
    to.seconds = profile.seconds;
    to.watching = profile.watching;
    to.lost_accesses = profile.lost_accesses;
    for (std::size_t i = 0; i < profile.working_set.size(); ++i)
        to.working_set[i] = {static_cast<std::uint32_t>(profile.working_set[i].seconds),
                             bytes_of(profile.working_set[i].seen_pages),
                             bytes_of(profile.working_set[i].estimate_pages),
                             bytes_of(profile.working_set[i].untested_pages)};
    for (std::size_t i = 0; i < profile.cold.size(); ++i)
        to.cold[i] = {static_cast<std::uint32_t>(profile.cold[i].seconds),
                      bytes_of(profile.cold[i].pages), bytes_of(profile.cold[i].tested_pages)};
    to.used_pages_per_second = profile.used_pages_per_second;
    to.writes_known = profile.writes_reported;
    to.written_pages_per_second = profile.writes_reported ? profile.written_pages_per_second : 0;
    to.write_share = profile.write_share;
    to.locality = profile.locality;
    to.in_order = profile.in_order;
    to.waits_per_second = profile.waits_per_second;
    to.refaults_per_second = profile.refaults_per_second;
    for (std::size_t i = 0; i < profile.more_dram.size(); ++i)
        to.more_dram[i] = {bytes_of(profile.more_dram[i].pages), profile.more_dram[i].saved_waits,
                           profile.more_dram[i].saved_refaults};
    to.phase = profile.phase;
    to.phases = profile.phases;
    to.phase_changes = profile.phase_changes;
    to.phase_seconds = profile.phase_seconds;
    to.workload = static_cast<tidemark_workload>(profile.workload.workload);
    to.workload_confidence = profile.workload.confidence;
    to.workload_labelled = profile.workload.labelled;
    to.heat_cells = static_cast<std::uint32_t>(profile.heat.size());
    to.heat_cell_bytes = bytes_of(std::uint64_t{profile.heat_regions} * kRegionPages);
    std::copy(profile.heat.begin(), profile.heat.end(), to.heat);
    for (const Standing &standing : from.standings)
        to.forecasters[index_of(standing.origin)] = {
            standing.enabled, standing.earning, standing.named,
            standing.ordered, standing.used,    standing.late,
            standing.wasted,  standing.surely,  0};
    to.forecasters[index_of(Origin::network)].horizon = from.horizon;
    to.learner_bytes = from.bytes;
    to.learner_cpu_seconds = from.cpu_seconds;
}

} // namespace tidemark
