// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/groups_edit.h"

#include <algorithm>
#include <cerrno>

namespace tidemark::daemon {

const Membership *Groups::Seats::in_force() const {
    return by_operator ? &*by_operator : by_domain ? &*by_domain : nullptr;
}

const AffinityGroup *Groups::Edit::group(std::string_view id) const {
    const auto changed = groups_.find(std::string(id));
    if (changed != groups_.end()) {
        return changed->second ? &*changed->second : nullptr;
    }
    return all_.find(id);
}

void Groups::Edit::put(AffinityGroup group) {
    const std::string id = group.id;
    groups_[id] = std::move(group);
    touched_.insert(id);
}

Groups::Seats Groups::Edit::seats(const std::string &vm) const {
    const auto changed = seats_.find(vm);
    if (changed != seats_.end()) {
        return changed->second;
    }
    const auto found = all_.seats_.find(vm);
    return found == all_.seats_.end() ? Seats{} : found->second;
}

void Groups::Edit::seat(const std::string &vm, const Seats &now) {
    for (const Seats &either : {seats(vm), now}) {
        if (const Membership *in_force = either.in_force()) {
            touched_.insert(in_force->group_id);
        }
    }
    seats_[vm] = now;
}

void Groups::Edit::unseat(const std::string &vm, const std::string &id) {
    Seats now = seats(vm);
    for (auto *each : {&now.by_operator, &now.by_domain}) {
        if (*each && (*each)->group_id == id) {
            each->reset();
        }
    }
    seat(vm, now);
}

std::vector<std::string> Groups::Edit::members(std::string_view id) const {
    std::vector<std::string> found;
    const auto take = [&](const std::string &vm, const Seats &now) {
        const Membership *in_force = now.in_force();
        if (in_force != nullptr && in_force->group_id == id) {
            found.push_back(vm);
        }
    };
    for (const auto &[vm, now] : all_.seats_) {
        if (!seats_.contains(vm)) {
            take(vm, now);
        }
    }
    for (const auto &[vm, now] : seats_) {
        take(vm, now);
    }
    std::sort(found.begin(), found.end());
    return found;
}

Result<void> Groups::Edit::commit() {
    if (auto settled = settle(); !settled) {
        return settled;
    }
    if (auto written = all_.store_.write(changes()); !written) {
        return written;
    }
    const std::vector<std::string> concerned = concerned_guests();
    for (const auto &[id, now] : groups_) {
        if (now) {
            all_.revision_ = std::max(all_.revision_, now->revision);
            all_.groups_.insert_or_assign(id, *now);
        } else {
            all_.groups_.erase(id);
        }
    }
    for (const auto &[vm, now] : seats_) {
        if (now.in_force() != nullptr) {
            all_.seats_.insert_or_assign(vm, now);
        } else {
            all_.seats_.erase(vm);
        }
    }
    for (const Listener &listener : all_.listeners_) {
        listener(concerned);
    }
    return {};
}

bool Groups::Edit::name_is_free(const std::string &name) const {
    const AffinityGroup *other = all_.find_by_name(name);
    return (other == nullptr || groups_.contains(other->id)) &&
           std::none_of(groups_.begin(), groups_.end(), [&](const auto &entry) {
               return entry.second && entry.second->name == name;
           });
}

Result<void> Groups::Edit::form_or_dissolve(const std::string &id) {
    const std::vector<std::string> in_it = members(id);
    if (in_it.size() > AffinityGroup::kMaxMembers) {
        return fail(ENOSPC, "a group has at most " + std::to_string(AffinityGroup::kMaxMembers) +
                                " members");
    }
    const AffinityGroup *there = group(id);
    if (there == nullptr && !in_it.empty()) {
        // Only a domain's membership outlives its group: an operator's goes with it.
        const Membership said = *seats(in_it.front()).in_force();
        const bool named = name_is_free(said.group_name);
        groups_[id] =
            AffinityGroup{id, named ? said.group_name : id, std::nullopt, said.origin, {}, 0};
    } else if (there != nullptr && in_it.empty() && there->origin != GroupOrigin::by_operator) {
        erase(id);
    }
    return {};
}

Result<void> Groups::Edit::check_count() const {
    std::size_t count = all_.groups_.size();
    for (const auto &[id, now] : groups_) {
        count += now ? 1U : 0U;
        count -= all_.groups_.contains(id) ? 1U : 0U;
    }
    if (count > AffinityGroup::kMaxGroups && count > all_.groups_.size()) {
        return fail(ENOSPC, "there are " + std::to_string(AffinityGroup::kMaxGroups) +
                                " groups; there cannot be more");
    }
    return {};
}

Result<void> Groups::Edit::settle() {
    for (const std::string &id : touched_) {
        if (auto settled = form_or_dissolve(id); !settled) {
            return settled;
        }
    }
    if (auto room = check_count(); !room) {
        return room;
    }
    std::uint64_t revision = all_.revision_;
    for (const std::string &id : touched_) {
        if (const AffinityGroup *there = group(id)) {
            AffinityGroup renewed = *there;
            renewed.revision = ++revision;
            groups_[id] = std::move(renewed);
        }
    }
    return {};
}

GroupChanges Groups::Edit::changes() const {
    GroupChanges changes;
    for (const auto &[id, now] : groups_) {
        if (now) {
            changes.put_groups.push_back(*now);
        } else {
            changes.remove_groups.push_back(id);
        }
    }
    for (const auto &[vm, now] : seats_) {
        for (const bool by_operator : {true, false}) {
            const auto &seat = by_operator ? now.by_operator : now.by_domain;
            if (seat) {
                changes.put_members.push_back(*seat);
            } else {
                changes.remove_members.push_back({vm, by_operator});
            }
        }
    }
    return changes;
}

std::vector<std::string> Groups::Edit::concerned_guests() const {
    std::set<std::string> guests;
    for (const auto &[vm, now] : seats_) {
        guests.insert(vm);
    }
    for (const auto &[id, now] : groups_) {
        const auto was = all_.groups_.find(id);
        const bool same = now && was != all_.groups_.end() && was->second.policy == now->policy &&
                          was->second.priority == now->priority && was->second.name == now->name;
        if (!same) {
            const std::vector<std::string> in_it = members(id);
            guests.insert(in_it.begin(), in_it.end());
        }
    }
    return {guests.begin(), guests.end()};
}

} // namespace tidemark::daemon
