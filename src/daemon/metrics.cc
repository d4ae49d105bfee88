// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metrics.h"

#include "base/utf8.h"
#include "daemon/guests.h"
#include "daemon/metric_families.h"

#include <map>
#include <prometheus/collectable.h>
#include <prometheus/text_serializer.h>
#include <sstream>
#include <utility>

namespace tidemark::daemon {

namespace {

constexpr double kPage = 4096;

double number(std::uint64_t value) {
    return static_cast<double>(value);
}

// A label's value may be any UTF-8; a guest's own words are cut to one line.
std::string label(const std::string &text) {
    std::string line = cut(text, 128);
    for (char &c : line)
        if (static_cast<unsigned char>(c) < ' ')
            c = ' ';
    return line;
}

// Every series of a guest has these two; tidemark_guest_info has the rest.
Labels labels_of(const Guest &guest) {
    return {{"uuid", guest.uuid}, {"name", label(guest.name)}};
}

Labels with(Labels labels, const std::string &name, const std::string &value) {
    labels.emplace_back(name, label(value));
    return labels;
}

void add_guest(Families &to, const Guest &guest) {
    const Labels labels = labels_of(guest);
    Labels info = with(labels, "group", guest.group ? guest.group->uuid : "");
    info = with(std::move(info), "group_name", guest.group ? guest.group->name : "");
    info = with(std::move(info), "service", guest.service_of_domain);
    to.gauge("tidemark_guest_info", "What a guest is; always 1.", info, 1);
    to.gauge("tidemark_guest_up", "1 if the guest's QEMU is connected.", labels,
             guest.connected ? 1 : 0);
    to.gauge("tidemark_guest_memory_bytes", "RAM of the guest.", labels, number(guest.memory));
    to.gauge("tidemark_guest_dram_floor_bytes", "DRAM the guest keeps whatever others need.",
             labels, number(guest.settings.dram_floor));
    to.gauge("tidemark_guest_priority", "Weight of the guest's faults against those of others.",
             labels, guest.settings.priority);
    to.gauge("tidemark_guest_settings_refused", "1 if its QEMU refused its settings.", labels,
             guest.settings_problem.empty() ? 0 : 1);
    to.gauge("tidemark_guest_element_problem",
             "1 if its domain's element as it is now has no effect.", labels,
             guest.element_problem.empty() ? 0 : 1);
    to.counter("tidemark_guest_poll_failures_total",
               "Questions to the guest's QEMU without a good answer.", labels,
               number(guest.poll_failures));
    for (const auto &[name, count] : guest.event_count)
        to.counter("tidemark_guest_events_total", "Events that the guest's QEMU reported.",
                   with(labels, "event", name), number(count));
}

void add_faults(Families &to, const Labels &labels, const CounterStats &counters) {
    // What is left when those that met something are taken away met a page that came back meanwhile.
    const std::pair<const char *, std::uint64_t> kinds[] = {{"untouched", counters.untouched},
                                                            {"staged", counters.staged},
                                                            {"stored", counters.stored},
                                                            {"arrived", counters.arrived}};
    for (const auto &[kind, count] : kinds)
        to.counter(
            "tidemark_guest_faults_by_page_total",
            "Page faults by where the page was: without content, in DRAM on its way out, only "
            "on a tier, or read ahead in time.",
            with(labels, "page", kind), number(count));
    to.counter("tidemark_guest_faults_total", "Page faults served.", labels,
               number(counters.faults));
    to.counter("tidemark_guest_faults_parked_total", "Page faults that waited for free DRAM.",
               labels, number(counters.parked));
    to.counter("tidemark_guest_refaults_total", "Page faults on pages that had left DRAM.", labels,
               number(counters.refaults));
}

void add_movement(Families &to, const Labels &labels, const CounterStats &counters) {
    to.counter("tidemark_guest_evicted_bytes_total", "Memory that left DRAM.", labels,
               kPage * number(counters.evicted_pages));
    to.counter("tidemark_guest_elided_bytes_total", "Memory that left DRAM without a write.",
               with(labels, "because", "zero"), kPage * number(counters.zero_elided));
    to.counter("tidemark_guest_elided_bytes_total", "Memory that left DRAM without a write.",
               with(labels, "because", "clean"), kPage * number(counters.clean_elided));
    to.counter("tidemark_guest_promoted_bytes_total", "Memory moved to a faster tier.", labels,
               kPage * number(counters.promoted_pages));
    to.counter("tidemark_guest_demoted_bytes_total", "Memory moved to a slower tier.", labels,
               kPage * number(counters.demoted_pages));
    to.counter("tidemark_guest_readahead_bytes_total",
               "Memory read because a neighbour was needed.", labels,
               kPage * number(counters.readahead_pages));
    to.counter("tidemark_guest_readahead_used_bytes_total", "How much of that was then used.",
               labels, kPage * number(counters.readahead_used));
    to.counter("tidemark_guest_prefetch_declined_bytes_total",
               "Memory ordered, but not brought in because it did not pay.", labels,
               kPage * number(counters.prefetch_declined));
    for (const PrefetchStats &of : counters.prefetch) {
        const Labels origin = with(labels, "origin", of.origin);
        to.counter("tidemark_guest_prefetch_issued_bytes_total", "Memory brought in unasked.",
                   origin, kPage * number(of.issued));
        to.counter("tidemark_guest_prefetch_used_bytes_total", "How much of it was then used.",
                   origin, kPage * number(of.used));
        to.counter("tidemark_guest_prefetch_late_bytes_total",
                   "Memory the guest asked for while it was being read.", origin,
                   kPage * number(of.late));
        to.counter("tidemark_guest_prefetch_wasted_bytes_total",
                   "Memory brought in that left DRAM without a use.", origin,
                   kPage * number(of.wasted));
    }
}

void add_tier(Families &to, const Labels &labels, const TierStats &tier) {
    to.gauge("tidemark_guest_tier_capacity_bytes", "Size of the guest's tier.", labels,
             number(tier.capacity));
    to.gauge("tidemark_guest_tier_used_bytes", "Of it in slots that hold a copy of a page.", labels,
             number(tier.used));
    to.gauge("tidemark_guest_tier_stored_bytes", "Memory whose only copy is in the tier.", labels,
             kPage * number(tier.pages));
    to.gauge("tidemark_guest_tier_degraded", "1 if a write failed and the tier takes no pages.",
             labels, tier.degraded ? 1 : 0);
    to.counter("tidemark_guest_tier_read_bytes_total", "Bytes read from the tier.", labels,
               number(tier.read_bytes));
    to.counter("tidemark_guest_tier_written_bytes_total", "Bytes written to the tier.", labels,
               number(tier.written_bytes));
    const std::pair<const char *, std::uint64_t> errors[] = {{"read", tier.read_errors},
                                                             {"write", tier.write_errors},
                                                             {"checksum", tier.checksum_errors}};
    for (const auto &[kind, count] : errors)
        to.counter("tidemark_guest_tier_errors_total", "Operations on the tier that failed.",
                   with(labels, "kind", kind), number(count));
}

void add_backend(Families &to, const Guest &guest, const BackendStats &backend) {
    const Labels labels = with(labels_of(guest), "backend", backend.id);
    to.gauge("tidemark_guest_dram_limit_bytes", "DRAM the backend may use.", labels,
             number(backend.dram_limit));
    to.gauge("tidemark_guest_dram_used_bytes", "DRAM the backend uses.", labels,
             number(backend.dram_used));
    to.gauge("tidemark_guest_metadata_bytes", "Memory spent on bookkeeping.", labels,
             number(backend.metadata_bytes));
    to.gauge("tidemark_guest_prefetch_queued_bytes", "Memory ordered and not brought in yet.",
             labels, kPage * number(backend.prefetch_queued));
    for (std::size_t state = 0; state < kPageStateCount; ++state)
        to.gauge("tidemark_guest_pages_bytes", "Memory of the guest by the state of its pages.",
                 with(labels, "state", kPageStates[state]), kPage * number(backend.pages[state]));
    add_faults(to, labels, backend.counters);
    add_movement(to, labels, backend.counters);
    to.fault_latency(labels, backend.fault_latency);
    for (std::size_t tier = 0; tier < backend.tiers.size(); ++tier)
        add_tier(
            to,
            with(with(labels, "tier", std::to_string(tier)), "class", backend.tiers[tier].klass),
            backend.tiers[tier]);
}

void add_profile(Families &to, const Guest &guest, const BackendProfile &profile) {
    const Labels labels = with(labels_of(guest), "backend", profile.id);
    for (const WorkingSetSize &size : profile.working_set)
        to.gauge("tidemark_guest_working_set_bytes", "Memory likely used in so many seconds.",
                 with(labels, "window_seconds", std::to_string(size.window_s)),
                 number(size.estimate));
    to.gauge("tidemark_guest_reclaim_slowdown_ratio",
             "Share of its time that the guest lost to pages that had left DRAM.", labels,
             profile.reclaim_slowdown);
    to.gauge("tidemark_guest_workload_info", "What the guest does, as far as it shows; always 1.",
             with(labels, "workload", profile.workload), 1);
    to.counter("tidemark_guest_learner_cpu_seconds_total", "CPU spent on learning.", labels,
               profile.learner_cpu_seconds);
}

void add_daemon(Families &to, const Guests &guests) {
    const Guests::Counters counters = guests.counters();
    std::size_t connected = 0;
    std::map<std::pair<std::string, std::string>, std::size_t> groups;
    for (const Guest *guest : guests.all()) {
        connected += guest->connected ? 1 : 0;
        if (guest->group)
            ++groups[{guest->group->uuid, guest->group->name}];
    }
    to.gauge("tidemark_guests", "Guests that the daemon knows.", {}, number(guests.size()));
    to.gauge("tidemark_guests_connected", "Guests whose QEMU is connected.", {}, number(connected));
    for (const auto &[group, members] : groups)
        to.gauge("tidemark_group_guests", "Guests of an affinity group on this host.",
                 {{"group", group.first}, {"group_name", label(group.second)}}, number(members));
    to.counter("tidemark_daemon_qmp_connections_total", "Connections to vm.sock.", {},
               number(counters.connections));
    to.counter("tidemark_daemon_qmp_refused_total", "Of them turned away.", {},
               number(counters.refused));
    to.counter("tidemark_daemon_qmp_malformed_total", "Connections ended for what they sent.", {},
               number(counters.malformed));
    to.counter("tidemark_daemon_qmp_commands_total", "Commands sent to guests.", {},
               number(counters.commands));
    to.counter("tidemark_daemon_qmp_failures_total", "Of them failed.", {},
               number(counters.command_failures));
    to.counter("tidemark_daemon_qmp_timeouts_total", "Of them not answered in time.", {},
               number(counters.timeouts));
    to.counter("tidemark_daemon_settings_pushed_total", "Changes of settings sent to guests.", {},
               number(counters.settings_pushed));
    add_process(to);
}

} // namespace

Metrics::Metrics(const Guests &guests) : guests_(guests) {}
Metrics::~Metrics() = default;

void Metrics::add(std::shared_ptr<const prometheus::Collectable> source) {
    sources_.push_back(std::move(source));
}

std::string Metrics::text() const {
    Families families;
    add_daemon(families, guests_);
    for (const Guest *guest : guests_.all()) {
        add_guest(families, *guest);
        // What a QEMU said that is gone is not the state of anything.
        if (!guest->connected)
            continue;
        for (const BackendStats &backend : guest->stats)
            add_backend(families, *guest, backend);
        for (const BackendProfile &profile : guest->profile)
            add_profile(families, *guest, profile);
    }
    std::vector<prometheus::MetricFamily> all = std::move(families).take();
    for (const auto &source : sources_)
        for (prometheus::MetricFamily &family : source->Collect())
            all.push_back(std::move(family));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, all);
    return std::move(out).str();
}

} // namespace tidemark::daemon
