// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a guest is told to do, and what it has learned about itself.
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/text.h"

#include <cmath>
#include <cstdio>

namespace tidemark::cli {
namespace {

std::string pages_text(const Json &reply) {
    const double pages = number_of(reply, "pages");
    return count_text(pages) + " pages (" + bytes_text(pages * 4096) + ")";
}

void print_backend(const Json &profile) {
    Table table({"MEMORY", text_of(profile, "id")});
    table.add({"looked at for", count_text(std::round(number_of(profile, "seconds"))) + " s"});
    table.add({"workload", text_of(profile, "workload") + ", " +
                               percent_text(number_of(profile, "workload-confidence")) + " sure"});
    for (const Json &size : array_of(profile, "working-set")) {
        table.add({"used in " + count_text(number_of(size, "window")) + " s",
                   bytes_text(number_of(size, "estimate")) + " (seen " +
                       bytes_text(number_of(size, "seen")) + ")"});
    }
    for (const Json &cold : array_of(profile, "cold")) {
        table.add({"in DRAM, unused for " + count_text(number_of(cold, "age")) + " s",
                   bytes_text(number_of(cold, "bytes"))});
    }
    table.add({"waits", count_text(std::round(number_of(profile, "waits-per-second"))) + "/s"});
    table.add(
        {"refaults", count_text(std::round(number_of(profile, "refaults-per-second"))) + "/s"});
    table.add({"writes", percent_text(number_of(profile, "write-share")) + " of faults"});
    table.add({"in order", percent_text(number_of(profile, "in-order")) + " of uses"});
    for (const Json &more : array_of(profile, "more-dram")) {
        table.add({"with " + bytes_text(number_of(more, "bytes")) + " more DRAM",
                   percent_text(number_of(more, "saved-waits")) + " fewer waits"});
    }
    table.add({"phase", count_text(number_of(profile, "phase")) + " of " +
                            count_text(number_of(profile, "phases"))});
    std::fputs(table.text().c_str(), stdout);
    Table forecasts({"FORECASTS BY", ">USED", ">LATE", ">WASTED", ">SURE", "EARNING"});
    for (const Json &one : array_of(profile, "forecasters")) {
        forecasts.add({text_of(one, "origin"), count_text(number_of(one, "used")),
                       count_text(number_of(one, "late")), count_text(number_of(one, "wasted")),
                       percent_text(number_of(one, "surely")),
                       bool_of(one, "earning") ? "yes" : "no"});
    }
    if (!forecasts.empty())
        std::printf("\n%s", forecasts.text().c_str());
}

} // namespace

Exit run_prefetch(const Session &session, const std::string &guest,
                  const PrefetchOptions &options) {
    if (options.cancel && !options.ranges.empty())
        return complain(
            {Exit::usage, "--cancel takes back all orders; it goes without --range", 0});
    if (!options.cancel && options.ranges.empty())
        return complain({Exit::usage, "what to bring in? --range OFFSET:LENGTH says so", 0});
    Json ranges = Json::array();
    for (const std::string &text : options.ranges) {
        const auto range = parse_range(text);
        if (!range)
            return complain({Exit::usage, range.error().sentence, 0});
        ranges.push_back({{"offset", range->offset}, {"length", range->length}});
    }
    Api api(session);
    const auto uuid = api.guest_uuid(guest);
    if (!uuid)
        return complain(uuid.error());
    const std::string target = "/api/v1/memory/prefetch/" + *uuid;
    if (options.cancel) {
        const auto reply = api.send("DELETE", target, Json());
        return report(session, reply, reply ? pages_text(*reply) + " will not come" : "");
    }
    Json body{{"ranges", ranges}, {"tier", options.tier}};
    if (options.confidence)
        body["confidence"] = *options.confidence;
    return report(session, api.send("POST", target, body), "ordered for " + guest);
}

Exit run_profile(const Session &session, const std::string &guest) {
    Api api(session);
    const auto profile = api.guest_uuid(guest).and_then(
        [&](const std::string &uuid) { return api.get("/api/v1/guests/" + uuid + "/profile"); });
    if (!profile)
        return complain(profile.error());
    if (session.json) {
        print_json(*profile);
        return Exit::ok;
    }
    const Json &backends = array_of(*profile, "backends");
    if (backends.empty())
        std::puts("nothing is known yet about how it uses its memory");
    for (const Json &backend : backends)
        print_backend(backend);
    return Exit::ok;
}

Exit run_record(const Session &session, const std::string &guest, std::uint32_t seconds) {
    Api api(session);
    const auto reply = api.guest_uuid(guest).and_then([&](const std::string &uuid) {
        return api.send("POST", "/api/v1/guests/" + uuid + "/record", {{"seconds", seconds}});
    });
    return report(session, reply,
                  "recording for " + std::to_string(seconds) + " s; `tidemark replay " + guest +
                      "` brings it back after that");
}

Exit run_replay(const Session &session, const std::string &guest, const std::string &from) {
    Api api(session);
    const auto uuid = api.guest_uuid(guest);
    if (!uuid)
        return complain(uuid.error());
    Json body = Json::object();
    if (!from.empty()) {
        const auto other = api.guest_uuid(from);
        if (!other)
            return complain(other.error());
        body["from"] = *other;
    }
    const auto reply = api.send("POST", "/api/v1/guests/" + *uuid + "/replay", body);
    return report(session, reply, reply ? pages_text(*reply) + " are on their way" : "");
}

} // namespace tidemark::cli
