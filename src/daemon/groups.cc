// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/groups.h"

#include "base/utf8.h"
#include "daemon/groups_edit.h"
#include "domain/group_id.h"
#include "domain/policy.h"

#include <algorithm>
#include <cerrno>

namespace tidemark::daemon {

Result<std::unique_ptr<Groups>> Groups::open(Store &store) {
    auto stored = store.groups();
    auto members = store.memberships();
    auto revision = store.revision();
    if (!stored || !members || !revision) {
        return tl::unexpected(!stored    ? stored.error()
                              : !members ? members.error()
                                         : revision.error());
    }
    std::unique_ptr<Groups> groups(new Groups(store));
    groups->revision_ = *revision;
    for (AffinityGroup &group : *stored) {
        groups->groups_[group.id] = group;
    }
    for (const Membership &member : *members) {
        Seats &seats = groups->seats_[member.vm];
        (member.origin == GroupOrigin::by_operator ? seats.by_operator : seats.by_domain) = member;
    }
    return groups;
}

const AffinityGroup *Groups::find(std::string_view id) const {
    const auto found = groups_.find(id);
    return found == groups_.end() ? nullptr : &found->second;
}

const AffinityGroup *Groups::find_by_name(std::string_view name) const {
    const auto found = std::find_if(groups_.begin(), groups_.end(),
                                    [&](const auto &entry) { return entry.second.name == name; });
    return found == groups_.end() ? nullptr : &found->second;
}

std::vector<const AffinityGroup *> Groups::list(std::string_view after, std::size_t most) const {
    std::vector<const AffinityGroup *> page;
    for (auto it = groups_.upper_bound(after); it != groups_.end() && page.size() < most; ++it) {
        page.push_back(&it->second);
    }
    return page;
}

std::vector<std::string> Groups::members(std::string_view id) const {
    std::vector<std::string> found;
    for (const auto &[vm, seats] : seats_) {
        if (seats.in_force()->group_id == id) {
            found.push_back(vm);
        }
    }
    return found;
}

const AffinityGroup *Groups::group_of(std::string_view vm) const {
    const auto found = seats_.find(vm);
    return found == seats_.end() ? nullptr : find(found->second.in_force()->group_id);
}

std::optional<GroupOrigin> Groups::origin_of(std::string_view vm) const {
    const auto found = seats_.find(vm);
    if (found == seats_.end()) {
        return std::nullopt;
    }
    return found->second.in_force()->origin;
}

namespace {

Error no_such_group(std::string_view id) {
    return {ENOENT, "there is no group " + cut(id, 64)};
}

// Names a guest in lower case, as everything here does.
Result<std::string> guest_uuid(std::string_view text) {
    if (auto uuid = domain::normal_uuid(text)) {
        return *uuid;
    }
    return fail(EINVAL, "'" + cut(text, 64) + "' is not the UUID of a guest");
}

Result<std::vector<std::string>> guest_uuids(const std::vector<std::string> &texts) {
    std::vector<std::string> uuids;
    for (const std::string &text : texts) {
        auto uuid = guest_uuid(text);
        if (!uuid) {
            return tl::unexpected(uuid.error());
        }
        uuids.push_back(*uuid);
    }
    return uuids;
}

Result<void> check_priority(const std::optional<std::uint32_t> &priority) {
    if (priority && (*priority < 1 || *priority > domain::kPriorityMost)) {
        return fail(EINVAL, "priority is " + std::to_string(*priority) + "; it must be 1 to " +
                                std::to_string(domain::kPriorityMost));
    }
    return {};
}

Result<void> check_name(const std::string &name) {
    if (!domain::valid_name(name)) {
        return fail(EINVAL, "name is '" + cut(name, 80) +
                                "'; it must be 1 to 64 letters, digits, '.', '_' and '-', the "
                                "first a letter or digit");
    }
    if (domain::normal_uuid(name)) {
        return fail(EINVAL,
                    "name is '" + name + "'; a name that looks like a UUID would be taken for one");
    }
    return {};
}

Error taken(const AffinityGroup &there) {
    return {EEXIST, "there is a group '" + there.name + "' with the UUID " + there.id +
                        " already; change that one"};
}

Result<std::string> new_id(const GroupRequest &request) {
    if (auto good = check_name(request.name); !good) {
        return tl::unexpected(good.error());
    }
    if (request.id.empty()) {
        return domain::group_id(request.name);
    }
    if (auto id = domain::normal_uuid(request.id)) {
        return *id;
    }
    return fail(EINVAL, "groupID is '" + cut(request.id, 64) + "'; it must be a UUID");
}

Membership by_operator(const std::string &vm, const AffinityGroup &group) {
    return {vm, group.id, group.name, GroupOrigin::by_operator};
}

} // namespace

Result<AffinityGroup> Groups::create(const GroupRequest &request) {
    auto id = new_id(request);
    auto priority = check_priority(request.priority);
    auto guests = guest_uuids(request.members.value_or(std::vector<std::string>()));
    if (!id || !priority || !guests) {
        return tl::unexpected(!id ? id.error() : !priority ? priority.error() : guests.error());
    }
    const AffinityGroup *there = find(*id) != nullptr ? find(*id) : find_by_name(request.name);
    if (there != nullptr) {
        return tl::unexpected(taken(*there));
    }
    Edit edit(*this);
    const AffinityGroup group{
        *id, request.name, request.priority, GroupOrigin::by_operator, request.policy, 0};
    edit.put(group);
    for (const std::string &vm : *guests) {
        Seats seats = edit.seats(vm);
        seats.by_operator = by_operator(vm, group);
        edit.seat(vm, seats);
    }
    if (auto done = edit.commit(); !done) {
        return tl::unexpected(done.error());
    }
    return *find(*id);
}

// Domains that say the old name find the group by the UUID made of that, so no other group may have such a UUID.
Result<std::string> Groups::name_of(const AffinityGroup &group, const std::string &wanted) const {
    if (wanted.empty() || wanted == group.name) {
        return group.name;
    }
    if (auto good = check_name(wanted); !good) {
        return tl::unexpected(good.error());
    }
    for (const AffinityGroup *other : {find_by_name(wanted), find(domain::group_id(wanted))}) {
        if (other != nullptr && other != &group) {
            return tl::unexpected(taken(*other));
        }
    }
    return wanted;
}

Result<AffinityGroup> Groups::change(std::string_view id, const GroupRequest &request) {
    const AffinityGroup *there = find(id);
    if (there == nullptr) {
        return tl::unexpected(no_such_group(id));
    }
    auto priority = check_priority(request.priority);
    auto guests = guest_uuids(request.members.value_or(std::vector<std::string>()));
    if (!priority || !guests) {
        return tl::unexpected(!priority ? priority.error() : guests.error());
    }
    auto name = name_of(*there, request.name);
    if (!name) {
        return tl::unexpected(name.error());
    }
    Edit edit(*this);
    const AffinityGroup group{there->id,      *name, request.priority, GroupOrigin::by_operator,
                              request.policy, 0};
    edit.put(group);
    if (request.members) {
        for (const std::string &vm : members(id)) {
            if (std::find(guests->begin(), guests->end(), vm) == guests->end()) {
                edit.unseat(vm, group.id);
            }
        }
        for (const std::string &vm : *guests) {
            Seats seats = edit.seats(vm);
            const Membership *in_force = seats.in_force();
            if (in_force == nullptr || in_force->group_id != group.id) {
                seats.by_operator = by_operator(vm, group);
                edit.seat(vm, seats);
            }
        }
    }
    if (auto done = edit.commit(); !done) {
        return tl::unexpected(done.error());
    }
    return *find(group.id);
}

Result<void> Groups::remove(std::string_view id) {
    const AffinityGroup *there = find(id);
    if (there == nullptr) {
        return tl::unexpected(no_such_group(id));
    }
    const std::string gone = there->id;
    Edit edit(*this);
    edit.erase(gone);
    for (const auto &[vm, seats] : seats_) {
        const auto sits = [&](const auto &seat) { return seat && seat->group_id == gone; };
        if (sits(seats.by_operator) || sits(seats.by_domain)) {
            edit.unseat(vm, gone);
        }
    }
    return edit.commit();
}

Result<std::pair<const AffinityGroup *, std::string>>
Groups::group_and_guest(std::string_view id, std::string_view vm) const {
    const AffinityGroup *there = find(id);
    if (there == nullptr) {
        return tl::unexpected(no_such_group(id));
    }
    return guest_uuid(vm).map([&](const std::string &guest) { return std::pair(there, guest); });
}

Result<void> Groups::add_member(std::string_view id, std::string_view vm) {
    auto who = group_and_guest(id, vm);
    if (!who) {
        return tl::unexpected(who.error());
    }
    const auto &[there, guest] = *who;
    Edit edit(*this);
    Seats seats = edit.seats(guest);
    seats.by_operator = by_operator(guest, *there);
    edit.seat(guest, seats);
    return edit.commit();
}

Result<void> Groups::remove_member(std::string_view id, std::string_view vm) {
    auto who = group_and_guest(id, vm);
    if (!who) {
        return tl::unexpected(who.error());
    }
    const auto &[there, guest] = *who;
    if (group_of(guest) != there) {
        return fail(ENOENT, "the guest " + guest + " is not in the group '" + there->name + "'");
    }
    Edit edit(*this);
    edit.unseat(guest, there->id);
    return edit.commit();
}

Result<void> Groups::set_domain_group(std::string_view vm,
                                      const std::optional<DomainGroup> &group) {
    auto guest = guest_uuid(vm);
    if (!guest) {
        return tl::unexpected(guest.error());
    }
    Edit edit(*this);
    Seats seats = edit.seats(*guest);
    std::optional<Membership> now;
    if (group) {
        const AffinityGroup *named = find_by_name(group->name);
        now = Membership{*guest, named == nullptr ? group->id : named->id, group->name,
                         group->origin};
    }
    if (seats.by_domain == now) {
        return {};
    }
    seats.by_domain = now;
    edit.seat(*guest, seats);
    return edit.commit();
}

} // namespace tidemark::daemon
