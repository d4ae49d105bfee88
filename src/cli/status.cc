// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/guest_row.h"
#include "cli/text.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace tidemark::cli {
namespace {

void print_tiers(const Json &tiers) {
    Table table({"TIER", "CLASS", ">USED", ">CAPACITY", ">GUESTS", "STATE", "PATH"});
    for (const Json &tier : tiers) {
        const TierRow row = tier_row(tier);
        table.add({row.name, row.klass, bytes_text(row.used),
                   row.capacity > 0 ? bytes_text(row.capacity) : "-",
                   std::to_string(static_cast<int>(row.guests)),
                   row.degraded > 0 ? "degraded" : "ok", row.path});
    }
    if (table.empty())
        std::puts("no tiers: tidemark.toml names them");
    else
        std::fputs(table.text().c_str(), stdout);
}

void print_loops(const Json &status) {
    const Json &arbiter = member(status, "arbiter");
    if (arbiter.is_object())
        std::printf("budget  %s limits raised, %s lowered, %s moved%s\n",
                    count_text(number_of(arbiter, "raised")).c_str(),
                    count_text(number_of(arbiter, "lowered")).c_str(),
                    bytes_text(number_of(arbiter, "movedBytes")).c_str(),
                    bool_of(arbiter, "pressed") ? "; the host is short of memory" : "");
    const Json &affinity = member(status, "affinity");
    if (affinity.is_object())
        std::printf("groups  %s prefetched for guests like others, %s starts replayed\n",
                    bytes_text(number_of(affinity, "orderedBytes")).c_str(),
                    count_text(number_of(affinity, "replays")).c_str());
}

// What keeps guests from being as somebody set them.
void print_problems(const Json &guests) {
    for (const Json &guest : guests)
        for (const auto &[key, what] : {std::pair("settingsProblem", "its QEMU refused settings"),
                                        std::pair("elementProblem", "its element has no effect")})
            if (const std::string problem = text_of(guest, key); !problem.empty())
                std::printf("        %s: %s: %s\n", clipped(guest_row(guest).name, 100).c_str(),
                            what, clipped(problem, 600).c_str());
}

} // namespace

Exit run_tiers(const Session &session) {
    Api api(session);
    const auto tiers = api.list("/api/v1/tiers");
    if (!tiers)
        return complain(tiers.error());
    if (session.json)
        print_json(*tiers);
    else
        print_tiers(*tiers);
    return Exit::ok;
}

Exit run_status(const Session &session) {
    Api api(session);
    const auto status = api.get("/api/v1/status");
    if (!status)
        return complain(status.error());
    if (session.json) {
        print_json(*status);
        return Exit::ok;
    }
    const auto guests = api.list("/api/v1/guests");
    if (!guests)
        return complain(guests.error());
    const auto tiers = api.list("/api/v1/tiers");
    if (!tiers)
        return complain(tiers.error());
    double used = 0;
    double memory = 0;
    std::size_t connected = 0;
    std::size_t troubled = 0;
    for (const GuestRow &row : guest_rows(*guests)) {
        used += row.used;
        memory += row.memory;
        connected += row.connected ? 1U : 0U;
        troubled += row.connected && state_of(row) != "ok" ? 1U : 0U;
    }
    std::printf("tidemarkd %s\n", text_of(*status, "version").c_str());
    std::printf("guests  %zu, %zu connected, %zu in trouble\n", guests->size(), connected,
                troubled);
    print_problems(*guests);
    std::printf("memory  %s of guests', %s of it in DRAM", bytes_text(memory).c_str(),
                bytes_text(used).c_str());
    if (const double budget = budget_of(*status); budget > 0)
        std::printf("; %s of DRAM are for guests", bytes_text(budget).c_str());
    std::puts("");
    print_loops(*status);
    std::puts("");
    print_tiers(*tiers);
    return Exit::ok;
}

} // namespace tidemark::cli
