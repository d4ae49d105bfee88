// SPDX-License-Identifier: GPL-2.0-or-later
//
// What Prometheus hears of the host as a whole: groups, the budget, what guests of a group do for each
// other, how right forecasts of migrations were, and the API.
#pragma once

#include <memory>

namespace prometheus {
class Collectable;
}

namespace tidemark::daemon {

class AffinityLoop;
class BudgetLoop;
class ForecastLoop;
class Groups;
class HttpServer;

// All of them outlive it.
std::shared_ptr<const prometheus::Collectable>
daemon_metrics(const Groups &groups, const BudgetLoop &budget, const AffinityLoop &affinity,
               const ForecastLoop &forecasts, const HttpServer &server);

} // namespace tidemark::daemon
