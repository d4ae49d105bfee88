// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/policy.h"
#include "cli/text.h"

#include <cstdio>

namespace tidemark::cli {
namespace {

const std::string kGroups = "/api/v1/affinity_groups";

Exit show(const Session &session, const Json &group) {
    if (session.json) {
        print_json(group);
        return Exit::ok;
    }
    Table table({"GROUP", text_of(group, "name")});
    table.add({"UUID", text_of(group, "groupID")});
    table.add({"formed by", text_of(group, "origin")});
    table.add({"priority", std::to_string(static_cast<int>(number_of(group, "priority")))});
    add_policy_rows(member(group, "policy"), table);
    std::fputs(table.text().c_str(), stdout);
    return Exit::ok;
}

// Names of guests by UUID, for people; without the daemon's word the UUIDs must do.
Json names_of_guests(Api &api) {
    Json names = Json::object();
    const auto guests = api.list("/api/v1/guests");
    for (const Json &guest : guests ? *guests : Json::array())
        names[text_of(guest, "uuid")] = text_of(guest, "name");
    return names;
}

// A group as it is now, for a change that is refused if somebody else changes it meanwhile.
struct GroupNow {
    std::string target, etag;
    Json json;
};

Outcome<GroupNow> group_now(Api &api, const std::string &name) {
    return api.group_uuid(name).and_then([&](const std::string &uuid) -> Outcome<GroupNow> {
        GroupNow now{kGroups + "/" + uuid, {}, {}};
        auto json = api.get(now.target, &now.etag);
        if (!json)
            return tl::unexpected<Failure>(json.error());
        now.json = std::move(*json);
        return now;
    });
}

// The UUIDs of a group and a guest that were typed.
struct Seat {
    std::string group, guest;
};

Outcome<Seat> in_group(Api &api, const std::string &group, const std::string &guest) {
    return api.group_uuid(group).and_then([&](const std::string &group_id) {
        return api.guest_uuid(guest).map([&](const std::string &guest_id) {
            return Seat{group_id, guest_id};
        });
    });
}

} // namespace

Exit run_groups_list(const Session &session) {
    Api api(session);
    const auto groups = api.list(kGroups);
    if (!groups)
        return complain(groups.error());
    if (session.json) {
        print_json(*groups);
        return Exit::ok;
    }
    Table table({"GROUP", ">PRIORITY", ">MEMBERS", "FORMED BY", "POLICY", "UUID"});
    for (const Json &group : *groups) {
        table.add({text_of(group, "name"),
                   std::to_string(static_cast<int>(number_of(group, "priority"))),
                   std::to_string(array_of(group, "members").size()), text_of(group, "origin"),
                   policy_text(member(group, "policy")), text_of(group, "groupID")});
    }
    if (table.empty())
        std::puts("no affinity groups; `tidemark groups create NAME` makes one");
    else
        std::fputs(table.text().c_str(), stdout);
    return Exit::ok;
}

Exit run_groups_show(const Session &session, const std::string &name) {
    Api api(session);
    const auto group = api.group_uuid(name).and_then(
        [&](const std::string &uuid) { return api.get(kGroups + "/" + uuid); });
    if (!group)
        return complain(group.error());
    show(session, *group);
    if (session.json || array_of(*group, "members").empty())
        return Exit::ok;
    const Json names = names_of_guests(api);
    Table members({"MEMBER", "UUID"});
    for (const Json &uuid : array_of(*group, "members")) {
        const std::string id = uuid.is_string() ? uuid.get<std::string>() : "";
        members.add({text_of(names, id.c_str(), "(not running)"), id});
    }
    std::printf("\n%s", members.text().c_str());
    return Exit::ok;
}

Exit run_groups_create(const Session &session, const std::string &name,
                       const PolicyOptions &policy) {
    Api api(session);
    Json body{{"name", name}, {"policy", Json::object()}};
    put_policy(policy, body["policy"]);
    if (policy.priority)
        body["priority"] = *policy.priority;
    const auto made = api.send("POST", kGroups, body);
    return report(session, made,
                  made ? "group " + name + " is made: " + text_of(*made, "groupID") : "");
}

// A PUT replaces the whole group: what was not typed is sent back as it was, and if somebody else changed it
// meanwhile, the daemon refuses instead of losing theirs.
Exit run_groups_set(const Session &session, const std::string &name, const std::string &new_name,
                    const PolicyOptions &policy) {
    if (policy.empty() && new_name.empty())
        return complain({Exit::usage, "nothing to set: give --name, --priority or a policy", 0});
    Api api(session);
    const auto now = group_now(api, name);
    if (!now)
        return complain(now.error());
    const Json &group = now->json;
    Json body{{"name", new_name.empty() ? text_of(group, "name") : new_name},
              {"policy", member(group, "policy")}};
    put_policy(policy, body["policy"]);
    if (policy.priority)
        body["priority"] = *policy.priority;
    else if (member(group, "priority").is_number())
        body["priority"] = member(group, "priority");
    const auto changed = api.send("PUT", now->target, body, now->etag);
    return report(session, changed,
                  "group " + name +
                      (new_name.empty() ? " is changed" : " is changed, and called " + new_name));
}

Exit run_groups_delete(const Session &session, const std::string &name) {
    Api api(session);
    const auto now = group_now(api, name);
    if (!now)
        return complain(now.error());
    return report(session, api.send("DELETE", now->target, Json(), now->etag),
                  "group " + name + " is dissolved; its guests run on with defaults");
}

Exit run_groups_add(const Session &session, const std::string &group, const std::string &guest) {
    Api api(session);
    const auto added = in_group(api, group, guest).and_then([&](const Seat &seat) {
        return api.send("POST", kGroups + "/" + seat.group + "/members", {{"vm", seat.guest}});
    });
    return report(session, added, guest + " is in group " + group);
}

Exit run_groups_remove(const Session &session, const std::string &group, const std::string &guest) {
    Api api(session);
    const auto removed = in_group(api, group, guest).and_then([&](const Seat &seat) {
        return api.send("DELETE", kGroups + "/" + seat.group + "/members/" + seat.guest, Json());
    });
    return report(session, removed, guest + " is out of group " + group);
}

} // namespace tidemark::cli
