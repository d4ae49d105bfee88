// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_settings.h"

#include <algorithm>

namespace tidemark::daemon {

EffectiveSettings resolve_settings(const GuestSettings &from_operator,
                                   const GuestSettings &from_domain,
                                   const std::optional<GuestGroup> &group,
                                   const PolicySettings &defaults) {
    EffectiveSettings result;
    result.dram_limit = from_operator.dram_limit.value_or(from_domain.dram_limit.value_or(0));
    result.dram_floor = from_operator.dram_floor.value_or(from_domain.dram_floor.value_or(0));
    // Two voices may each say one of them; a floor above the limit would be a promise nobody can keep.
    if (result.dram_limit != 0)
        result.dram_floor = std::min(result.dram_floor, result.dram_limit);
    const std::optional<std::uint32_t> of_group = group ? group->priority : std::nullopt;
    result.priority = from_operator.priority.value_or(
        from_domain.priority.value_or(of_group.value_or(domain::kPriorityDefault)));
    result.policy = from_operator.policy.or_else(from_domain.policy)
                        .or_else(group ? group->policy : PolicySettings{})
                        .or_else(defaults);
    return result;
}

} // namespace tidemark::daemon
