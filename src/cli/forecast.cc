// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a live migration of a guest would cost.
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/text.h"

#include <cstdio>

namespace tidemark::cli {
namespace {

std::string milliseconds_text(double milliseconds) {
    return nanoseconds_text(milliseconds * 1e6);
}

// "4.4 s, in 9 of 10 at most 4.6 s"
template <typename Text> std::string bound_text(const Json &bound, Text text) {
    return text(number_of(bound, "p50")) + ", in 9 of 10 at most " + text(number_of(bound, "p90"));
}

std::string verdict_text(const Json &forecast) {
    const std::string verdict = text_of(forecast, "verdict");
    const bool running = bool_of(forecast, "running");
    if (verdict == "converges")
        return running ? "comes to an end" : "would come to an end";
    if (verdict == "will-not-converge")
        return running ? "does not come to an end" : "would not come to an end";
    return "can't be said";
}

// What to do, as somebody would type or say it.
std::string remedy_text(const Json &remedy) {
    std::string kind = text_of(remedy, "kind");
    if (kind == "predictor")
        return "let the predictor order it";
    if (kind == "wait")
        return "wait for " + count_text(number_of(remedy, "seconds")) + " s";
    if (kind == "bandwidth")
        return "give it " + bytes_text(number_of(remedy, "bandwidth")) + "/s";
    if (kind == "downtime-limit")
        return "allow a downtime of " + milliseconds_text(number_of(remedy, "downtime-limit"));
    if (kind == "throttle")
        return "throttle the guest by " + count_text(number_of(remedy, "percentage")) + " %";
    return kind; // "postcopy", and what a newer QEMU knows
}

void print_remedies(const Json &forecast) {
    Table table({"WHAT WOULD HELP", ">GUEST LOSES", ">TIME", ">BYTES", ">DOWNTIME"});
    for (const Json &remedy : array_of(forecast, "remedies")) {
        table.add({remedy_text(remedy), nanoseconds_text(number_of(remedy, "cost") * 1e9),
                   milliseconds_text(number_of(remedy, "total-time")),
                   bytes_text(number_of(remedy, "bytes")),
                   milliseconds_text(number_of(remedy, "downtime"))});
    }
    if (!table.empty())
        std::printf("\n%s", table.text().c_str());
}

void print_forecast(const std::string &guest, const Json &forecast) {
    Table table({"MIGRATION", guest});
    table.add({"it", verdict_text(forecast) + " (" + percent_text(number_of(forecast, "chance")) +
                         " sure that it does)"});
    table.add({"because", text_of(forecast, "reason")});
    table.add({"takes", bound_text(member(forecast, "total-time"), milliseconds_text)});
    table.add({"sends", bound_text(member(forecast, "bytes"), bytes_text)});
    table.add({"downtime", bound_text(member(forecast, "downtime"), milliseconds_text)});
    table.add({"rewritten too fast", bytes_text(number_of(forecast, "irreducible"))});
    if (member(forecast, "quiet-in").is_number())
        table.add({"writes less in", count_text(number_of(forecast, "quiet-in")) + " s"});
    table.add({"reckoned with", bytes_text(number_of(forecast, "bandwidth")) +
                                    "/s, a downtime of at most " +
                                    milliseconds_text(number_of(forecast, "downtime-limit"))});
    table.add({"writes watched", count_text(number_of(forecast, "watched")) + " s"});
    std::fputs(table.text().c_str(), stdout);
    print_remedies(forecast);
}

} // namespace

Exit run_migrate_forecast(const Session &session, const std::string &guest,
                          const ForecastTerms &terms) {
    std::string query;
    const auto add = [&](const char *name, const std::optional<std::uint64_t> &value) {
        if (value)
            query += (query.empty() ? "?" : "&") + std::string(name) + "=" + std::to_string(*value);
    };
    add("bandwidth", terms.bandwidth);
    add("downtimeLimit", terms.downtime_ms);
    Api api(session);
    const auto reply = api.guest_uuid(guest).and_then([&](const std::string &uuid) {
        return api.get("/api/v1/guests/" + uuid + "/migrate-forecast" + query);
    });
    if (!reply)
        return complain(reply.error());
    if (session.json)
        print_json(*reply);
    else
        print_forecast(guest, member(*reply, "forecast"));
    return Exit::ok;
}

} // namespace tidemark::cli
