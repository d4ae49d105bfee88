// SPDX-License-Identifier: GPL-2.0-or-later
//
// What Prometheus scrapes: every guest's memory, faults, prefetches and tiers, the groups, and the
// daemon itself. Nothing is kept between scrapes: the numbers are those of Guests.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Collectable;
struct MetricFamily;
} // namespace prometheus

namespace tidemark::daemon {

class Guests;

class Metrics {
  public:
    explicit Metrics(const Guests &guests);
    ~Metrics();
    Metrics(const Metrics &) = delete;
    Metrics &operator=(const Metrics &) = delete;

    // More families, e.g. those of the arbiter; called at each scrape, and lives as long as this.
    void add(std::shared_ptr<const prometheus::Collectable> source);
    // The text exposition format 0.0.4; call it in the daemon's thread.
    std::string text() const;

    static constexpr const char *kContentType = "text/plain; version=0.0.4; charset=utf-8";

  private:
    const Guests &guests_;
    std::vector<std::shared_ptr<const prometheus::Collectable>> sources_;
};

} // namespace tidemark::daemon
