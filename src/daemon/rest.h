// SPDX-License-Identifier: GPL-2.0-or-later
//
// The REST interface, a file for each part of it: rest_*.cc. openapi.json describes it.
#pragma once

#include "daemon/affinity_loop.h"
#include "daemon/budget_loop.h"
#include "daemon/router.h"

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tidemark::domain {
struct HostConfig;
}

namespace tidemark::daemon {

class Domains;
class DomainWatch;
class Groups;
class HttpServer;
class Metrics;
class Settings;
struct AffinityGroup;

// groupID, name, members, priority, origin and policy, as REST shows a group.
nlohmann::json group_to_json(const Groups &groups, const AffinityGroup &group);

// What /status tells beside what the others know.
struct DaemonStatus {
    std::string version;
    std::int64_t started_unix_ms = 0;
    std::uint64_t budget = 0; // bytes of DRAM for all guests
    std::function<bool()> libvirt_connected;
    std::function<BudgetState()> arbiter;
    std::function<AffinityState()> affinity;
};

// Everything that is given outlives the router.
void add_group_routes(Router &router, Groups &groups);
void add_domain_routes(Router &router, Domains &domains, DomainWatch &watch);
void add_guest_routes(Router &router, Guests &guests, Settings &settings, const Domains &domains);
void add_similar_routes(Router &router, const Guests &guests, const AffinityLoop &affinity);
void add_guest_command_routes(Router &router, Guests &guests);
void add_forecast_routes(Router &router, Guests &guests);
void add_status_routes(Router &router, const DaemonStatus &status, const Guests &guests,
                       const Groups &groups, const Domains &domains, const HttpServer &server);
void add_tier_routes(Router &router, const domain::HostConfig &config, const Guests &guests);
void add_page_routes(Router &router, const Metrics &metrics);

} // namespace tidemark::daemon
