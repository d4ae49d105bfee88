// SPDX-License-Identifier: GPL-2.0-or-later
//
// The affinity groups of this host. What changes is in the store before a call returns, and whoever
// listens hears which guests it concerns. A guest is in one group at a time, or in none.
#pragma once

#include "base/result.h"
#include "daemon/affinity_group.h"
#include "daemon/store.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemark::daemon {

// What an operator wants a group to be.
struct GroupRequest {
    std::string id;   // UUID; empty: follows from the name
    std::string name; // empty on change(): stays; else its new one
    std::optional<std::uint32_t> priority;
    PolicySettings policy;
    std::optional<std::vector<std::string>> members; // not there: none, or on change() as they are
};

// What one domain says about itself.
struct DomainGroup {
    std::string id;
    std::string name;
    GroupOrigin origin = GroupOrigin::domain; // or service
};

class Groups {
  public:
    // guests: UUIDs whose group, or whose group's policy or priority, is another one now.
    using Listener = std::function<void(const std::vector<std::string> &guests)>;

    // Reads what the store has; the store outlives this.
    static Result<std::unique_ptr<Groups>> open(Store &store);

    // Called after each change, before the call that made it returns.
    void listen(Listener listener) { listeners_.push_back(std::move(listener)); }

    std::size_t size() const { return groups_.size(); }
    // By id; none if there is no such group.
    const AffinityGroup *find(std::string_view id) const;
    const AffinityGroup *find_by_name(std::string_view name) const;
    // At most `most` with an id behind `after`, in order of ids.
    std::vector<const AffinityGroup *> list(std::string_view after, std::size_t most) const;
    std::vector<std::string> members(std::string_view id) const; // in order
    // The group that the guest is in, none if it is in none.
    const AffinityGroup *group_of(std::string_view vm) const;
    // Who put it there; by_operator goes before its domain.
    std::optional<GroupOrigin> origin_of(std::string_view vm) const;

    // Failures have a sentence: EINVAL what was asked is wrong, EEXIST there is such a group, ENOENT
    // there is none, ENOSPC too many, else the store's.
    Result<AffinityGroup> create(const GroupRequest &request);
    // Replaces policy and priority, name and members if they are given. A group that formed by itself is the
    // operator's from then on, and stays when its last member goes.
    Result<AffinityGroup> change(std::string_view id, const GroupRequest &request);
    // Its members are in the group their domain names, if that is another one, else in none.
    Result<void> remove(std::string_view id);
    // By an operator: goes before what the guest's domain says, and stays while the guest is off.
    Result<void> add_member(std::string_view id, std::string_view vm);
    Result<void> remove_member(std::string_view id, std::string_view vm);

    // What the domain of `vm` says: the group of that name, else the one of that id, which forms if it has to. Nothing: says nothing (any more), or
    // it stopped.
    Result<void> set_domain_group(std::string_view vm, const std::optional<DomainGroup> &group);

  private:
    struct Seats { // one guest's
        std::optional<Membership> by_operator, by_domain;
        const Membership *in_force() const;
    };
    class Edit;

    explicit Groups(Store &store) : store_(store) {}
    Result<std::string> name_of(const AffinityGroup &group, const std::string &wanted) const;
    // What add_member() and remove_member() are about.
    Result<std::pair<const AffinityGroup *, std::string>>
    group_and_guest(std::string_view id, std::string_view vm) const;

    Store &store_;
    std::map<std::string, AffinityGroup, std::less<>> groups_;
    std::map<std::string, Seats, std::less<>> seats_;
    std::uint64_t revision_ = 0;
    std::vector<Listener> listeners_;
};

} // namespace tidemark::daemon
