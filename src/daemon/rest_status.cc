// SPDX-License-Identifier: GPL-2.0-or-later
//
// /api/v1/status: the host at a glance.
#include "daemon/domains.h"
#include "daemon/groups.h"
#include "daemon/guests.h"
#include "daemon/http_server.h"
#include "daemon/json_body.h"
#include "daemon/rest.h"

#include <chrono>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

nlohmann::json api_json(const HttpServer::Counters &counters) {
    return {{"connections", counters.connections},
            {"open", counters.open},
            {"requests", counters.requests},
            {"turnedAway", counters.turned_away},
            {"timedOut", counters.timed_out}};
}

// Since the daemon began; pressed: the host is short of memory, so nobody is raised.
nlohmann::json arbiter_json(const BudgetState &state) {
    return {{"rounds", state.rounds},
            {"raised", state.raised},
            {"lowered", state.lowered},
            {"movedBytes", state.moved_bytes},
            {"pressed", state.pressed}};
}

nlohmann::json affinity_json(const AffinityState &state) {
    return {{"orders", state.orders},
            {"orderedBytes", state.ordered_bytes},
            {"failedOrders", state.failed_orders},
            {"records", state.records},
            {"replays", state.replays},
            {"replayedPages", state.replayed_pages},
            {"right", state.right},
            {"wrong", state.wrong}};
}

} // namespace

void add_status_routes(Router &router, const DaemonStatus &status, const Guests &guests,
                       const Groups &groups, const Domains &domains, const HttpServer &server) {
    router.add_plain("GET", "/api/v1/status", [&](const HttpRequest &) {
        std::uint64_t used = 0, limits = 0, memory = 0;
        std::size_t connected = 0;
        for (const Guest *guest : guests.all()) {
            used += guest->dram_used();
            limits += guest->dram_limit();
            memory += guest->memory;
            connected += guest->connected ? 1 : 0;
        }
        const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count();
        return json_response({{"version", status.version},
                              {"startedAt", status.started_unix_ms},
                              {"now", now},
                              {"dramBudget", status.budget},
                              {"dramUsed", used},
                              {"dramLimits", limits},
                              {"dramFloors", domains.floors()},
                              {"memory", memory},
                              {"guests", guests.size()},
                              {"connected", connected},
                              {"groups", groups.size()},
                              {"domains", domains.size()},
                              {"libvirtConnected", status.libvirt_connected()},
                              {"arbiter", arbiter_json(status.arbiter())},
                              {"affinity", affinity_json(status.affinity())},
                              {"api", api_json(server.counters())}});
    });
}

} // namespace tidemark::daemon
