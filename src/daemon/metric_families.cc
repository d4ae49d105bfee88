// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metric_families.h"

#include <array>
#include <fstream>
#include <limits>
#include <sys/resource.h>
#include <unistd.h>

namespace tidemark::daemon {

namespace {

// Upper bounds in ns: half decades from 1 us to a second, so that what is over all guests is one
// histogram, and a few series each.
constexpr std::array<std::uint64_t, 13> kBounds = {
    1000,    3000,     10000,    30000,     100000,    300000,    1000000,
    3000000, 10000000, 30000000, 100000000, 300000000, 1000000000};

} // namespace

prometheus::ClientMetric &Families::add(const std::string &name, const char *help,
                                        prometheus::MetricType type, const Labels &labels) {
    prometheus::MetricFamily &family = families_[name];
    if (family.name.empty()) {
        family.name = name;
        family.help = help;
        family.type = type;
    }
    prometheus::ClientMetric &metric = family.metric.emplace_back();
    for (const auto &[label, value] : labels)
        metric.label.push_back({label, value});
    return metric;
}

void Families::gauge(const std::string &name, const char *help, const Labels &labels,
                     double value) {
    add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void Families::counter(const std::string &name, const char *help, const Labels &labels,
                       double value) {
    add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

// A bucket of QEMU's that lies across a bound is counted above it: never faster than it was.
void Families::fault_latency(const Labels &labels, const std::vector<HistogramBucket> &buckets) {
    prometheus::ClientMetric::Histogram histogram;
    std::array<std::uint64_t, kBounds.size()> below{};
    for (const HistogramBucket &bucket : buckets) {
        histogram.sample_count += bucket.count;
        histogram.sample_sum +=
            static_cast<double>(bucket.count) * static_cast<double>(bucket.below) * 0.92e-9;
        for (std::size_t b = 0; b < kBounds.size(); ++b)
            if (bucket.below <= kBounds[b])
                below[b] += bucket.count;
    }
    for (std::size_t b = 0; b < kBounds.size(); ++b)
        histogram.bucket.push_back({below[b], static_cast<double>(kBounds[b]) * 1e-9});
    histogram.bucket.push_back({histogram.sample_count, std::numeric_limits<double>::infinity()});
    add("tidemark_guest_fault_latency_seconds",
        "Time from the moment a page fault was read to the moment the page was mapped.",
        prometheus::MetricType::Histogram, labels)
        .histogram = std::move(histogram);
}

std::vector<prometheus::MetricFamily> Families::take() && {
    std::vector<prometheus::MetricFamily> all;
    all.reserve(families_.size());
    for (auto &[name, family] : families_)
        all.push_back(std::move(family));
    return all;
}

void add_process(Families &to) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval &t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    to.counter("process_cpu_seconds_total", "CPU time of the daemon, user and system.", {},
               seconds(usage.ru_utime) + seconds(usage.ru_stime));
    std::uint64_t pages = 0, resident = 0;
    if (std::ifstream statm("/proc/self/statm"); statm >> pages >> resident)
        to.gauge("process_resident_memory_bytes", "Memory of the daemon in DRAM.", {},
                 static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)));
}

} // namespace tidemark::daemon
