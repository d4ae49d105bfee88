// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/daemon_metrics.h"

#include "daemon/affinity_loop.h"
#include "daemon/budget_loop.h"
#include "daemon/forecast_loop.h"
#include "daemon/groups.h"
#include "daemon/http_server.h"
#include "daemon/metric_families.h"

#include <prometheus/collectable.h>

namespace tidemark::daemon {
namespace {

void add_bound(Families &to, const char *name, const char *help, const std::string &uuid,
               const ForecastBound &bound, double unit) {
    to.gauge(name, help, {{"uuid", uuid}, {"bound", "p50"}}, unit * static_cast<double>(bound.p50));
    to.gauge(name, help, {{"uuid", uuid}, {"bound", "p90"}}, unit * static_cast<double>(bound.p90));
}

void add_forecast(Families &to, const std::string &uuid, const MigrationForecast &forecast) {
    to.gauge("tidemark_guest_migration_converges_ratio",
             "How likely a live migration of the guest comes to an end by itself.",
             {{"uuid", uuid}, {"verdict", forecast.verdict}}, forecast.chance);
    add_bound(to, "tidemark_guest_migration_seconds", "What a live migration would take.", uuid,
              forecast.total_ms, 1e-3);
    add_bound(to, "tidemark_guest_migration_bytes", "What a live migration would send.", uuid,
              forecast.bytes, 1);
    add_bound(to, "tidemark_guest_migration_downtime_seconds",
              "How long the guest would stand still at the end of a live migration.", uuid,
              forecast.downtime_ms, 1e-3);
    to.gauge("tidemark_guest_migration_irreducible_bytes",
             "Memory that is rewritten as fast as it could be sent.", {{"uuid", uuid}},
             static_cast<double>(forecast.irreducible));
}

void add_forecasts(Families &to, const ForecastLoop &forecasts) {
    for (const auto &[uuid, forecast] : forecasts.forecasts())
        add_forecast(to, uuid, forecast);
    const ForecastState &state = forecasts.state();
    to.counter("tidemark_migrations_total", "Migrations that completed and had been forecast.", {},
               static_cast<double>(state.outcomes));
    to.gauge("tidemark_migration_forecasts_kept", "Errors of forecasts that bounds are made from.",
             {}, static_cast<double>(state.score.count));
    if (state.score.count == 0)
        return; // a share of nothing would read like a bad one
    const std::pair<const char *, ForecastScore::Figure> figures[] = {
        {"time", state.score.total},
        {"bytes", state.score.bytes},
        {"downtime", state.score.downtime}};
    for (const auto &[name, of] : figures) {
        to.gauge("tidemark_migration_forecast_within_p90_ratio",
                 "Share of migrations that stayed within the p90 bound; 0.9 is right.",
                 {{"figure", name}}, of.within_p90);
        to.gauge("tidemark_migration_forecast_error_ratio",
                 "Median error of the p50 forecast, as a share of what came.", {{"figure", name}},
                 of.median_error);
    }
}

class DaemonMetrics : public prometheus::Collectable {
  public:
    DaemonMetrics(const Groups &groups, const BudgetLoop &budget, const AffinityLoop &affinity,
                  const ForecastLoop &forecasts, const HttpServer &server)
        : groups_(groups), budget_(budget), affinity_(affinity), forecasts_(forecasts),
          server_(server) {}

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
        add_forecasts(to, forecasts_);
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
    const ForecastLoop &forecasts_;
    const HttpServer &server_;
};

} // namespace

std::shared_ptr<const prometheus::Collectable>
daemon_metrics(const Groups &groups, const BudgetLoop &budget, const AffinityLoop &affinity,
               const ForecastLoop &forecasts, const HttpServer &server) {
    return std::make_shared<DaemonMetrics>(groups, budget, affinity, forecasts, server);
}

} // namespace tidemark::daemon
