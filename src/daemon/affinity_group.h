// SPDX-License-Identifier: GPL-2.0-or-later
//
// An affinity group: guests that may learn from each other, and a policy for all of them. A group is a
// trust boundary: nothing learnt, shared or reused crosses it.
#pragma once

#include "base/result.h"
#include "daemon/guest_settings.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tidemark::daemon {

// Who made a group, or put a guest into it. `by_operator` stays until an operator takes it back; the
// others form with the first member that a domain's element (or service) names, and go with the last.
enum class GroupOrigin : std::uint8_t { by_operator, domain, service };

struct AffinityGroup {
    static constexpr std::size_t kMaxGroups = 4096;
    static constexpr std::size_t kMaxMembers = 4096; // of one group

    std::string id; // UUID, lower case
    // Unique; domain::valid_name(). A service's group is called "service:" + service, as its UUID is
    // made of that.
    std::string name;
    std::optional<std::uint32_t> priority; // 1..1000; shown as 100 if nobody said
    GroupOrigin origin = GroupOrigin::by_operator;
    PolicySettings policy; // an empty field leaves it to the next voice
    // Rises with every change of the group or its members, never the same twice: its ETag.
    std::uint64_t revision = 0;

    bool operator==(const AffinityGroup &) const = default;
};

const char *to_string(GroupOrigin origin); // "operator", "domain", "service"
std::optional<GroupOrigin> group_origin_of(std::string_view text);

// {"reuseEnabled","prefetchEnabled","prefetchWindow","evictionPolicy","coldAge","reclaimSlowdown","learn",
// "learnWrites"};
// what nobody said is left out.
nlohmann::json policy_to_json(const PolicySettings &policy);
// The same; null or absent: not said. A member that is unknown, of a wrong type or out of bounds is
// refused with a sentence that names it. `where` begins the sentence: "policy".
Result<PolicySettings> policy_from_json(const nlohmann::json &json, const std::string &where);

} // namespace tidemark::daemon
