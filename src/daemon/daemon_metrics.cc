// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/daemon_metrics.h"

#include "daemon/affinity_loop.h"
#include "daemon/budget_loop.h"
#include "daemon/groups.h"
#include "daemon/http_server.h"
#include "daemon/metric_families.h"

#include <prometheus/collectable.h>

namespace tidemark::daemon {
namespace {

class DaemonMetrics : public prometheus::Collectable {
  public:
    DaemonMetrics(const Groups &groups, const BudgetLoop &budget, const AffinityLoop &affinity,
                  const HttpServer &server)
        : groups_(groups), budget_(budget), affinity_(affinity), server_(server) {}

    std::vector<prometheus::MetricFamily> Collect() const override {
        Families to;
        const auto number = [](auto value) { return static_cast<double>(value); };
        to.gauge("tidemark_groups", "Affinity groups.", {}, number(groups_.size()));
        for (const AffinityGroup *group : groups_.list({}, AffinityGroup::kMaxGroups)) {
            to.gauge("tidemark_group_members", "Guests in the affinity group, running or not.",
                     {{"group", group->name}}, number(groups_.members(group->id).size()));
        }
        const BudgetState &budget = budget_.state();
        to.gauge("tidemark_budget_bytes", "DRAM for all guests.", {}, number(budget.bytes));
        to.gauge("tidemark_budget_limits_bytes", "Sum of the guests' DRAM limits.", {},
                 number(budget.limits));
        to.gauge("tidemark_budget_floors_bytes", "Sum of the guests' DRAM floors.", {},
                 number(budget.floors));
        to.gauge("tidemark_budget_pressed", "1 while the host itself runs short of memory.", {},
                 budget.pressed ? 1 : 0);
        to.counter("tidemark_budget_moved_bytes_total", "DRAM given and taken by the arbiter.", {},
                   number(budget.moved_bytes));
        const AffinityState affinity = affinity_.state();
        to.counter("tidemark_affinity_ordered_bytes_total",
                   "Ordered for guests because similar ones needed it.", {},
                   number(affinity.ordered_bytes));
        to.counter("tidemark_affinity_replayed_pages_total",
                   "Pages of working sets that another guest of the group left.", {},
                   number(affinity.replayed_pages));
        const HttpServer::Counters api = server_.counters();
        to.gauge("tidemark_api_connections", "Connections to the API now.", {}, number(api.open));
        to.counter("tidemark_api_requests_total", "Requests to the API.", {}, number(api.requests));
        to.counter("tidemark_api_turned_away_total", "Connections without room, or not allowed.",
                   {}, number(api.turned_away));
        to.counter("tidemark_api_timed_out_total", "Clients that were too slow.", {},
                   number(api.timed_out));
        return std::move(to).take();
    }

  private:
    const Groups &groups_;
    const BudgetLoop &budget_;
    const AffinityLoop &affinity_;
    const HttpServer &server_;
};

} // namespace

std::shared_ptr<const prometheus::Collectable> daemon_metrics(const Groups &groups,
                                                              const BudgetLoop &budget,
                                                              const AffinityLoop &affinity,
                                                              const HttpServer &server) {
    return std::make_shared<DaemonMetrics>(groups, budget, affinity, server);
}

} // namespace tidemark::daemon
