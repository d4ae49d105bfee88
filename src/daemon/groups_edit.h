// SPDX-License-Identifier: GPL-2.0-or-later
//
// One change to the groups, worked out on copies: the store agrees first, then it is true in memory, then
// listeners hear. Forms and dissolves what follows from the memberships. For groups.cc alone.
#pragma once

#include "daemon/groups.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::daemon {

class Groups::Edit {
  public:
    explicit Edit(Groups &groups) : all_(groups) {}

    void put(AffinityGroup group);
    void erase(const std::string &id) { groups_[id] = std::nullopt; }
    Seats seats(const std::string &vm) const;
    void seat(const std::string &vm, const Seats &now);
    // Takes away whatever membership the guest has in the group.
    void unseat(const std::string &vm, const std::string &id);
    Result<void> commit();

  private:
    const AffinityGroup *group(std::string_view id) const;
    // Everybody in force in the group as it will be.
    std::vector<std::string> members(std::string_view id) const;
    bool name_is_free(const std::string &name) const;
    Result<void> settle();
    Result<void> form_or_dissolve(const std::string &id);
    Result<void> check_count() const;
    GroupChanges changes() const;
    std::vector<std::string> concerned_guests() const;

    Groups &all_;
    std::map<std::string, std::optional<AffinityGroup>> groups_; // nothing: goes
    std::map<std::string, Seats> seats_;
    std::set<std::string> touched_; // groups that get a new revision
};

} // namespace tidemark::daemon
