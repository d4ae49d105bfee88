// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is known about guests, and what they are set to.
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/guest_row.h"
#include "cli/policy.h"
#include "cli/text.h"
#include "domain/size.h"

#include <cmath>
#include <cstdio>

namespace tidemark::cli {
namespace {

const std::string kGuests = "/api/v1/guests";

Outcome<Json> guest_of(Api &api, const std::string &name, std::string *etag = nullptr) {
    const auto uuid = api.guest_uuid(name);
    if (!uuid)
        return tl::unexpected<Failure>(uuid.error());
    return api.get(kGuests + "/" + *uuid, etag);
}

std::string bytes_or(double bytes, const char *otherwise) {
    return bytes > 0 ? bytes_text(bytes) : otherwise;
}

std::string record_text(const Json &record) {
    const std::string phase = text_of(record, "phase", "none");
    if (phase == "saved")
        return count_text(number_of(record, "pages")) + " pages saved";
    return phase == "failed" ? "failed: " + text_of(record, "sentence") : phase;
}

void show_guest(const Json &guest) {
    const GuestRow row = guest_row(guest);
    Table table({"GUEST", row.name});
    table.add({"UUID", row.uuid});
    if (const std::string title = text_of(guest, "title"); !title.empty())
        table.add({"title", title});
    table.add({"state", state_of(row)});
    for (const char *key : {"settingsProblem", "elementProblem"})
        if (const std::string problem = text_of(guest, key); !problem.empty())
            table.add({"not in force", problem});
    table.add({"memory", bytes_or(row.memory, "not known")});
    table.add({"DRAM used", bytes_text(row.used)});
    table.add({"DRAM limit", bytes_or(row.limit, "none")});
    table.add({"on flash", bytes_text(row.stored)});
    table.add({"faults", count_text(std::round(row.faults)) + " a second, " +
                             count_text(std::round(row.waits)) + " waited for a tier"});
    table.add({"latency p99", row.p99_ns > 0 ? nanoseconds_text(row.p99_ns) : "no faults yet"});
    table.add({"workload", row.workload.empty() ? "not known yet" : row.workload});
    table.add({"working set", bytes_or(number_of(guest, "workingSet"), "not known yet")});
    table.add({"group", row.group.empty() ? "none" : row.group});
    table.add({"recording", record_text(member(guest, "record"))});
    for (const Json &tier : array_of(guest, "tiers")) {
        table.add({text_of(tier, "class") + (bool_of(tier, "degraded") ? ", degraded" : ""),
                   bytes_text(number_of(tier, "used")) + " of " +
                       bytes_text(number_of(tier, "capacity")) + " in " + text_of(tier, "path")});
    }
    std::fputs(table.text().c_str(), stdout);
}

// Null: there is nothing to compare in that respect.
std::string likeness_text(const Json &guest, const char *key) {
    return member(guest, key).is_number() ? percent_text(number_of(guest, key)) : "-";
}

void show_similar(const Json &guests) {
    Table table({"GUEST", ">ALIKE", ">HEAT", ">CONTENT", ">WORKLOAD", ">PHASES", "UUID"});
    for (const Json &guest : guests) {
        table.add({text_of(guest, "name"), likeness_text(guest, "score"),
                   likeness_text(guest, "heat"), likeness_text(guest, "content"),
                   likeness_text(guest, "workload"), likeness_text(guest, "phases"),
                   text_of(guest, "uuid")});
    }
    if (table.empty())
        std::puts("there is no guest of its group that it was compared with");
    else
        std::fputs(table.text().c_str(), stdout);
}

void show_settings(const Json &guest) {
    Table table({"SETTING", "IN FORCE"});
    table.add({"dram limit", bytes_or(number_of(guest, "dramLimit"), "none")});
    table.add({"floor", bytes_text(number_of(guest, "dramFloor"))});
    table.add({"priority", std::to_string(static_cast<int>(number_of(guest, "priority", 100)))});
    add_policy_rows(member(guest, "policy"), table);
    if (const std::string problem = text_of(guest, "settingsProblem"); !problem.empty())
        table.add({"refused", problem});
    if (const std::string problem = text_of(guest, "elementProblem"); !problem.empty())
        table.add({"element", "not in force: " + problem});
    std::fputs(table.text().c_str(), stdout);
}

// "25%" is of the guest's memory, which only the daemon knows.
Outcome<std::uint64_t> bytes_of_amount(const std::string &text, const Json &guest) {
    const auto amount = domain::parse_amount(text);
    if (!amount)
        return tl::unexpected<Failure>({Exit::usage, "the size " + amount.error().sentence, 0});
    const double memory = number_of(guest, "memory");
    if (amount->unit == domain::Amount::Unit::percent && memory <= 0)
        return tl::unexpected<Failure>(
            {Exit::failed, "how much memory the guest has is not known yet; give bytes", 0});
    return amount->of(static_cast<std::uint64_t>(memory));
}

Exit set_guest(const Session &session, const std::string &name, const PolicyOptions &options) {
    Api api(session);
    std::string etag;
    const auto guest = guest_of(api, name, &etag);
    if (!guest)
        return complain(guest.error());
    Json change = Json::object();
    for (const auto &[key, text] :
         {std::pair("dramLimit", &options.dram), std::pair("dramFloor", &options.floor)}) {
        if (!*text)
            continue;
        const auto bytes = bytes_of_amount(**text, *guest);
        if (!bytes)
            return complain(bytes.error());
        change[key] = *bytes;
    }
    if (options.priority)
        change["priority"] = *options.priority;
    Json policy = Json::object();
    put_policy(options, policy);
    if (!policy.empty())
        change["policy"] = policy;
    const auto changed = api.send("PATCH", kGuests + "/" + text_of(*guest, "uuid"), change, etag);
    if (!changed)
        return complain(changed.error());
    if (session.json)
        print_json(*changed);
    else
        std::printf("%s is set\n", clipped(name, 100).c_str());
    return Exit::ok;
}

} // namespace

Exit run_guests_list(const Session &session) {
    Api api(session);
    const auto guests = api.list(kGuests);
    if (!guests)
        return complain(guests.error());
    if (session.json) {
        print_json(*guests);
        return Exit::ok;
    }
    auto rows = guest_rows(*guests);
    sort_rows(rows, "name");
    Table table({"GUEST", ">MEMORY", ">DRAM", ">LIMIT", ">ON FLASH", "GROUP", "STATE", "UUID"});
    for (const GuestRow &row : rows) {
        table.add({row.name, bytes_text(row.memory), bytes_text(row.used), bytes_or(row.limit, "-"),
                   bytes_text(row.stored), row.group.empty() ? "-" : row.group, state_of(row),
                   row.uuid});
    }
    if (table.empty())
        std::puts("no tiered guest runs here");
    else
        std::fputs(table.text().c_str(), stdout);
    return Exit::ok;
}

Exit run_guests_show(const Session &session, const std::string &name) {
    Api api(session);
    const auto guest = guest_of(api, name);
    if (!guest)
        return complain(guest.error());
    if (session.json)
        print_json(*guest);
    else
        show_guest(*guest);
    return Exit::ok;
}

Exit run_guests_similar(const Session &session, const std::string &name) {
    Api api(session);
    const auto reply = api.guest_uuid(name).and_then(
        [&](const std::string &uuid) { return api.get(kGuests + "/" + uuid + "/similar"); });
    if (!reply)
        return complain(reply.error());
    const Json &guests = array_of(*reply, "items"); // never more than one page
    if (session.json)
        print_json(guests);
    else
        show_similar(guests);
    return Exit::ok;
}

Exit run_policy_show(const Session &session, const Target &target) {
    if (target.group)
        return run_groups_show(session, target.name);
    Api api(session);
    const auto guest = guest_of(api, target.name);
    if (!guest)
        return complain(guest.error());
    if (!session.json) {
        show_settings(*guest);
        return Exit::ok;
    }
    Json settings = Json::object();
    for (const char *key :
         {"dramLimit", "dramFloor", "priority", "policy", "settingsProblem", "elementProblem"})
        settings[key] = member(*guest, key);
    settings["byOperator"] = member(*guest, "settings");
    print_json(settings);
    return Exit::ok;
}

Exit run_policy_set(const Session &session, const Target &target, const PolicyOptions &options) {
    if (options.empty())
        return complain(
            {Exit::usage, "nothing to set: `tidemark policy set --help` lists what may be", 0});
    if (!target.group)
        return set_guest(session, target.name, options);
    if (options.dram || options.floor)
        return complain({Exit::usage, "--dram and --floor are for guests, not for groups", 0});
    return run_groups_set(session, target.name, "", options);
}

Exit run_names(const Session &session, const std::string &kind) {
    Api api(session);
    const auto items = api.list(kind == "guests" ? kGuests : "/api/v1/affinity_groups");
    for (const Json &item : items ? *items : Json::array()) {
        const std::string name = text_of(item, "name");
        // The shell splits at spaces; such a name must be typed.
        if (name.find_first_of(" \t\n'\"\\$`") == std::string::npos)
            std::puts(name.c_str());
    }
    return Exit::ok;
}

} // namespace tidemark::cli
