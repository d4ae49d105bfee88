// SPDX-License-Identifier: GPL-2.0-or-later
//
// Puts single numbers together to the families that Prometheus wants.
#pragma once

#include "daemon/guest_stats.h"

#include <map>
#include <prometheus/metric_family.h>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::daemon {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Families {
  public:
    void gauge(const std::string &name, const char *help, const Labels &labels, double value);
    void counter(const std::string &name, const char *help, const Labels &labels, double value);
    // How long faults took, in seconds, with bounds that are the same for all guests. QEMU tells no sum: it
    // is estimated from the middle of its buckets, each of which is at most 19 % wide.
    void fault_latency(const Labels &labels, const std::vector<HistogramBucket> &buckets);

    std::vector<prometheus::MetricFamily> take() &&;

  private:
    prometheus::ClientMetric &add(const std::string &name, const char *help,
                                  prometheus::MetricType type, const Labels &labels);

    std::map<std::string, prometheus::MetricFamily> families_;
};

// CPU and memory of this process.
void add_process(Families &to);

} // namespace tidemark::daemon
