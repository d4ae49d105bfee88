// SPDX-License-Identifier: GPL-2.0-or-later
//
// /api/v1/affinity_groups
#include "base/utf8.h"
#include "daemon/groups.h"
#include "daemon/json_body.h"
#include "daemon/problem.h"
#include "daemon/rest.h"
#include "domain/group_id.h"
#include "domain/policy.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

using nlohmann::json;

HttpResponse show(const Groups &groups, const AffinityGroup &group, unsigned status = 200) {
    HttpResponse response = json_response(group_to_json(groups, group), status);
    response.headers.emplace_back("ETag", etag_of(group.revision));
    return response;
}

Result<std::string> text_member(const json &body, const char *name) {
    const auto found = body.find(name);
    if (found == body.end() || found->is_null()) {
        return std::string();
    }
    if (!found->is_string()) {
        return fail(EINVAL, std::string(name) + " must be a string, and is " + found->type_name());
    }
    return found->get<std::string>();
}

Result<std::optional<std::uint32_t>> priority_of(const json &body) {
    const auto found = body.find("priority");
    if (found == body.end() || found->is_null()) {
        return std::optional<std::uint32_t>();
    }
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() < 1 ||
        found->get<std::uint64_t>() > domain::kPriorityMost) {
        return fail(EINVAL, "priority must be a whole number from 1 to " +
                                std::to_string(domain::kPriorityMost));
    }
    return std::optional<std::uint32_t>(found->get<std::uint32_t>());
}

Result<std::optional<std::vector<std::string>>> members_of(const json &body) {
    const auto found = body.find("members");
    if (found == body.end() || found->is_null()) {
        return std::optional<std::vector<std::string>>();
    }
    std::vector<std::string> members;
    if (!found->is_array() || found->size() > AffinityGroup::kMaxMembers) {
        return fail(EINVAL, "members must be an array of at most " +
                                std::to_string(AffinityGroup::kMaxMembers) + " UUIDs");
    }
    for (const json &member : *found) {
        if (!member.is_string()) {
            return fail(EINVAL, "members must be UUIDs, and one of them is " +
                                    std::string(member.type_name()));
        }
        members.push_back(member.get<std::string>());
    }
    return std::optional(std::move(members));
}

// What a body says; "origin" may stand in it, so that what was got can be sent back, and is passed over.
Result<GroupRequest> request_of(const json &body) {
    if (auto unknown =
            unknown_member(body, {"groupID", "name", "members", "priority", "origin", "policy"})) {
        return fail(EINVAL, *unknown);
    }
    GroupRequest request;
    auto id = text_member(body, "groupID");
    auto name = text_member(body, "name");
    auto priority = priority_of(body);
    auto members = members_of(body);
    for (const auto *error :
         {id ? nullptr : &id.error(), name ? nullptr : &name.error(),
          priority ? nullptr : &priority.error(), members ? nullptr : &members.error()}) {
        if (error != nullptr) {
            return tl::unexpected(*error);
        }
    }
    if (const auto policy = body.find("policy"); policy != body.end() && !policy->is_null()) {
        auto said = policy_from_json(*policy, "policy");
        if (!said) {
            return tl::unexpected(said.error());
        }
        request.policy = *said;
    }
    request.id = *id;
    request.name = *name;
    request.priority = *priority;
    request.members = std::move(*members);
    return request;
}

HttpResponse list_groups(const Groups &groups, const HttpRequest &request) {
    auto page = page_of(request);
    if (!page) {
        return page.error();
    }
    // One more than asked for tells whether there is a next page.
    auto found = groups.list(page->after, page->limit + 1);
    std::optional<std::string> next;
    if (found.size() > page->limit) {
        found.pop_back();
        next = found.back()->id;
    }
    std::vector<json> items;
    for (const AffinityGroup *group : found) {
        items.push_back(group_to_json(groups, *group));
    }
    return json_response(page_json(std::move(items), next));
}

HttpResponse create_group(Groups &groups, const HttpRequest &request) {
    auto body = object_of(request);
    if (!body) {
        return body.error();
    }
    auto wanted = request_of(*body);
    if (!wanted) {
        return problem(wanted.error());
    }
    auto group = groups.create(*wanted);
    if (!group) {
        return problem(group.error());
    }
    HttpResponse response = show(groups, *group, 201);
    response.headers.emplace_back("Location", "/api/v1/affinity_groups/" + group->id);
    return response;
}

HttpResponse change_group(Groups &groups, const AffinityGroup &group, const HttpRequest &request) {
    auto body = object_of(request);
    if (!body) {
        return body.error();
    }
    if (auto stale = precondition(request, etag_of(group.revision), true)) {
        return *stale;
    }
    auto wanted = request_of(*body);
    if (!wanted) {
        return problem(wanted.error());
    }
    if (!wanted->id.empty() && domain::normal_uuid(wanted->id) != group.id) {
        return problem(422, "groupID is another one than the path's");
    }
    auto changed = groups.change(group.id, *wanted);
    return changed ? show(groups, *changed) : problem(changed.error());
}

HttpResponse delete_group(Groups &groups, const AffinityGroup &group, const HttpRequest &request) {
    if (auto stale = precondition(request, etag_of(group.revision), false)) {
        return *stale;
    }
    auto removed = groups.remove(group.id);
    return removed ? HttpResponse{204, {}, {}, {}} : problem(removed.error());
}

json member_json(const Groups &groups, const std::string &vm) {
    const auto origin = groups.origin_of(vm);
    return {{"vm", vm}, {"origin", origin ? to_string(*origin) : ""}};
}

HttpResponse list_members(Groups &groups, const AffinityGroup &group, const HttpRequest &request) {
    auto page = page_of(request);
    if (!page) {
        return page.error();
    }
    std::vector<json> items;
    std::optional<std::string> next;
    for (const std::string &vm : groups.members(group.id)) {
        if (vm <= page->after) {
            continue;
        }
        if (items.size() == page->limit) {
            next = items.back()["vm"].get<std::string>();
            break;
        }
        items.push_back(member_json(groups, vm));
    }
    return json_response(page_json(std::move(items), next));
}

HttpResponse add_member(Groups &groups, const AffinityGroup &group, const HttpRequest &request) {
    auto body = object_of(request);
    if (!body) {
        return body.error();
    }
    if (auto unknown = unknown_member(*body, {"vm"})) {
        return problem(422, *unknown);
    }
    auto vm = text_member(*body, "vm");
    if (!vm || vm->empty()) {
        return problem(422, vm ? "vm is missing: the UUID of the guest" : vm.error().sentence);
    }
    if (auto stale = precondition(request, etag_of(group.revision), false)) {
        return *stale;
    }
    const std::string id = group.id;
    if (auto added = groups.add_member(id, *vm); !added) {
        return problem(added.error());
    }
    const std::string uuid = domain::normal_uuid(*vm).value_or(*vm);
    HttpResponse response = json_response(member_json(groups, uuid), 201);
    response.headers.emplace_back("Location", "/api/v1/affinity_groups/" + id + "/members/" + uuid);
    return response;
}

HttpResponse remove_member(Groups &groups, const AffinityGroup &group, const HttpRequest &request) {
    if (auto stale = precondition(request, etag_of(group.revision), false)) {
        return *stale;
    }
    auto removed = groups.remove_member(group.id, request.parameters[1]);
    return removed ? HttpResponse{204, {}, {}, {}} : problem(removed.error());
}

} // namespace

json group_to_json(const Groups &groups, const AffinityGroup &group) {
    return {{"groupID", group.id},
            {"name", group.name},
            {"members", groups.members(group.id)},
            {"priority", group.priority.value_or(domain::kPriorityDefault)},
            {"origin", to_string(group.origin)},
            {"policy", policy_to_json(group.policy)}};
}

void add_group_routes(Router &router, Groups &groups) {
    const std::string all = "/api/v1/affinity_groups";
    router.add_plain(
        "GET", all, [&groups](const HttpRequest &request) { return list_groups(groups, request); });
    router.add_plain("POST", all, [&groups](const HttpRequest &request) {
        return create_group(groups, request);
    });
    // What is about the group that the path names.
    using Handle = HttpResponse (*)(Groups &, const AffinityGroup &, const HttpRequest &);
    const auto add = [&](const char *method, const char *below, Handle handle) {
        router.add_plain(
            method, all + "/{id}" + below, [&groups, handle](const HttpRequest &request) {
                const std::string &id = request.parameters[0];
                const AffinityGroup *group = groups.find(domain::normal_uuid(id).value_or(id));
                return group == nullptr ? problem(404, "there is no group " + cut(id, 64))
                                        : handle(groups, *group, request);
            });
    };
    add("GET", "", [](Groups &of, const AffinityGroup &group, const HttpRequest &) {
        return show(of, group);
    });
    add("PUT", "", change_group);
    add("DELETE", "", delete_group);
    add("GET", "/members", list_members);
    add("POST", "/members", add_member);
    add("DELETE", "/members/{vm}", remove_member);
}

} // namespace tidemark::daemon
