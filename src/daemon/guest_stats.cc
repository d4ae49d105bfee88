// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_stats.h"

#include "daemon/answer_fields.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

void read_counters(AnswerFields from, std::string &problem, CounterStats &to) {
    from.read("faults", to.faults);
    from.read("faults-untouched", to.untouched);
    from.read("faults-staged", to.staged);
    from.read("faults-stored", to.stored);
    from.read("faults-arrived", to.arrived);
    from.read("faults-parked", to.parked);
    from.read("refaults", to.refaults);
    from.read("readahead-pages", to.readahead_pages);
    from.read("readahead-used", to.readahead_used);
    from.read("prefetch-pages", to.prefetch_pages);
    from.read("prefetch-declined", to.prefetch_declined);
    from.read("evicted-pages", to.evicted_pages);
    from.read("zero-elided", to.zero_elided);
    from.read("clean-elided", to.clean_elided);
    from.read("promoted-pages", to.promoted_pages);
    from.read("demoted-pages", to.demoted_pages);
    from.read("discarded-pages", to.discarded_pages);
    from.read("move-busy", to.move_busy);
    from.list("prefetch", 32, [&](const json &element) {
        AnswerFields of(element, problem);
        PrefetchStats prefetch;
        of.read("origin", prefetch.origin);
        of.read("issued", prefetch.issued);
        of.read("used", prefetch.used);
        of.read("late", prefetch.late);
        of.read("wasted", prefetch.wasted);
        to.prefetch.push_back(std::move(prefetch));
    });
}

TierStats read_tier(const json &element, std::string &problem) {
    AnswerFields from(element, problem);
    TierStats to;
    from.read("path", to.path);
    from.read("class", to.klass);
    from.read("degraded", to.degraded);
    from.read("capacity", to.capacity);
    from.read("write-budget", to.write_budget);
    from.read("used", to.used);
    from.read("pages", to.pages);
    from.read("read-bytes", to.read_bytes);
    from.read("written-bytes", to.written_bytes);
    from.read("read-errors", to.read_errors);
    from.read("write-errors", to.write_errors);
    from.read("checksum-errors", to.checksum_errors);
    return to;
}

void read_latency(AnswerFields from, std::string &problem, BackendStats &to) {
    from.read("p50", to.latency_p50_ns);
    from.read("p99", to.latency_p99_ns);
    from.read("p999", to.latency_p999_ns);
    from.list("buckets", kMaxBuckets, [&](const json &element) {
        AnswerFields of(element, problem);
        HistogramBucket bucket;
        of.read("below", bucket.below);
        of.read("count", bucket.count);
        to.fault_latency.push_back(bucket);
    });
}

BackendStats read_backend(const json &element, std::string &problem) {
    AnswerFields from(element, problem);
    BackendStats to;
    from.read("id", to.id);
    from.bytes("size", to.size);
    from.bytes("dram-limit", to.dram_limit);
    from.bytes("dram-used", to.dram_used);
    from.read("metadata-bytes", to.metadata_bytes);
    from.read("prefetch-queued", to.prefetch_queued);
    from.read("armed", to.armed);
    from.read("eviction-policy", to.eviction);
    from.read("cold-age", to.cold_age_s);
    from.read("prefetch-window", to.prefetch_window_s);
    from.read("reclaim-slowdown", to.reclaim_slowdown_permille);
    from.read("prefetch", to.prefetch);
    from.read("learn", to.learn);
    from.read("group", to.group);
    AnswerFields pages = from.inner("pages");
    for (std::size_t state = 0; state < kPageStateCount; ++state)
        pages.read(kPageStates[state], to.pages[state]);
    from.list("tiers", kMaxTiers,
              [&](const json &tier) { to.tiers.push_back(read_tier(tier, problem)); });
    read_counters(from.inner("counters"), problem, to.counters);
    read_latency(from.inner("fault-latency"), problem, to);
    return to;
}

// The parts of a profile that are lists.
void read_profile_lists(AnswerFields &from, std::string &problem, BackendProfile &to) {
    from.list("working-set", 32, [&](const json &element) {
        AnswerFields of(element, problem);
        WorkingSetSize size;
        of.read("window", size.window_s);
        of.read("seen", size.seen);
        of.read("estimate", size.estimate);
        of.read("untested", size.untested);
        to.working_set.push_back(size);
    });
    from.list("cold", 32, [&](const json &element) {
        AnswerFields of(element, problem);
        ColdSet cold;
        of.read("age", cold.age_s);
        of.read("bytes", cold.bytes);
        of.read("tested", cold.tested);
        to.cold.push_back(cold);
    });
    from.list("more-dram", 32, [&](const json &element) {
        AnswerFields of(element, problem);
        MoreDram more;
        of.read("bytes", more.bytes);
        of.read("saved-waits", more.saved_waits);
        of.read("saved-refaults", more.saved_refaults);
        to.more_dram.push_back(more);
    });
    AnswerFields heat = from.inner("heat");
    heat.bytes("cell-bytes", to.heat_cell_bytes);
    heat.list("cells", kMaxHeatCells, [&](const json &element) {
        if (element.is_number())
            to.heat.push_back(element.get<float>());
        else if (problem.empty())
            problem = "a cell of heat is not a number";
    });
}

BackendProfile read_profile(const json &element, std::string &problem) {
    AnswerFields from(element, problem);
    BackendProfile to;
    from.read("id", to.id);
    from.read("seconds", to.seconds);
    from.read("watching", to.watching);
    from.read("used-per-second", to.used_per_second);
    from.read("written-per-second", to.written_per_second);
    from.read("write-share", to.write_share);
    from.read("locality", to.locality);
    from.read("in-order", to.in_order);
    from.read("waits-per-second", to.waits_per_second);
    from.read("refaults-per-second", to.refaults_per_second);
    from.read("phase", to.phase);
    from.read("phases", to.phases);
    from.read("phase-changes", to.phase_changes);
    from.read("phase-seconds", to.phase_seconds);
    from.read("workload", to.workload);
    from.read("workload-confidence", to.workload_confidence);
    from.read("workload-labelled", to.workload_labelled);
    from.read("learner-bytes", to.learner_bytes);
    from.read("learner-cpu-seconds", to.learner_cpu_seconds);
    from.read("reclaim-slowdown", to.reclaim_slowdown);
    read_profile_lists(from, problem, to);
    return to;
}

template <typename T, typename Read>
Result<std::vector<T>> parse_list(const json &answer, const char *what, Read read) {
    if (!answer.is_array() || answer.size() > kMaxBackends)
        return fail(EPROTO, std::string(what) +
                                " answered something that is not a list of at most " +
                                std::to_string(kMaxBackends) + " objects");
    std::vector<T> list;
    list.reserve(answer.size());
    std::string problem;
    for (const json &element : answer)
        list.push_back(read(element, problem));
    if (!problem.empty())
        return fail(EPROTO, std::string(what) + " answered something odd: " + problem);
    return list;
}

} // namespace

Result<std::vector<BackendStats>> parse_stats(const json &answer) {
    return parse_list<BackendStats>(answer, "query-tiered-memory", read_backend);
}

Result<std::vector<BackendProfile>> parse_profile(const json &answer) {
    return parse_list<BackendProfile>(answer, "query-tiered-memory-profile", read_profile);
}

} // namespace tidemark::daemon
