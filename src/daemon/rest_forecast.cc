// SPDX-License-Identifier: GPL-2.0-or-later
//
// /api/v1/guests/{uuid}/migrate-forecast: what a live migration would cost, as its QEMU says now.
#include "base/utf8.h"
#include "daemon/guests.h"
#include "daemon/json_body.h"
#include "daemon/migration_forecast.h"
#include "daemon/problem.h"
#include "daemon/rest.h"

#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

using nlohmann::json;

// A whole number of the query, at least 1; nothing: it is not there.
tl::expected<std::optional<std::uint64_t>, HttpResponse> number_in(const HttpRequest &request,
                                                                   const char *name) {
    const auto found = request.query.find(name);
    if (found == request.query.end()) {
        return std::nullopt;
    }
    const std::string &text = found->second;
    if (text.empty() || text.size() > 15 ||
        text.find_first_not_of("0123456789") != std::string::npos || std::stoull(text) == 0) {
        return tl::unexpected(
            problem(400, std::string(name) + " must be a whole number, at least 1"));
    }
    return std::stoull(text);
}

void forecast(Guests &guests, const HttpRequest &request, const HttpReply &reply) {
    const Guest *guest = guests.find(request.parameters[0]);
    if (guest == nullptr) {
        return reply(problem(404, "there is no guest " + cut(request.parameters[0], 64)));
    }
    const auto bandwidth = number_in(request, "bandwidth");
    const auto downtime = number_in(request, "downtimeLimit");
    if (!bandwidth || !downtime) {
        return reply(!bandwidth ? bandwidth.error() : downtime.error());
    }
    json arguments = json::object();
    if (*bandwidth) {
        arguments["bandwidth"] = **bandwidth;
    }
    if (*downtime) {
        arguments["downtime-limit"] = **downtime;
    }
    guests.execute(guest->uuid, "query-migrate-forecast", arguments,
                   [reply, uuid = guest->uuid](const Result<json> &answer) {
                       // It must make sense, but is handed on as it is: a newer QEMU may say more.
                       const auto sense =
                           answer ? parse_forecast(*answer) : tl::unexpected(answer.error());
                       reply(sense ? json_response({{"uuid", uuid}, {"forecast", *answer}})
                                   : problem(sense.error()));
                   });
}

} // namespace

void add_forecast_routes(Router &router, Guests &guests) {
    router.add("GET", "/api/v1/guests/{uuid}/migrate-forecast",
               [&guests](const HttpRequest &request, const HttpReply &reply) {
                   forecast(guests, request, reply);
               });
}

} // namespace tidemark::daemon
