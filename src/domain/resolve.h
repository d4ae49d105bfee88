// SPDX-License-Identifier: GPL-2.0-or-later
//
// Domain and host together: the settings one guest starts with. The daemon and a hook that is alone
// come to the same result, group ids included.
#pragma once

#include "domain/domain.h"
#include "domain/host_config.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::domain {

struct ResolvedTier {
    std::string path;
    TierClass tier_class = TierClass::nvme;
    std::uint64_t capacity = 0;
    std::uint64_t write_budget = 0;
    bool operator==(const ResolvedTier &) const = default;
};

// What /run/tidemark/domains/<uuid>.json holds, version 1.
struct ResolvedDomain {
    std::string uuid, name, title;
    std::uint64_t memory = 0;     // bytes
    std::uint64_t dram_limit = 0; // bytes
    std::uint64_t dram_floor = 0; // bytes; never more than the limit
    std::uint32_t priority = kPriorityDefault;
    std::vector<ResolvedTier> tiers;
    Policy policy;     // element's, else the host's defaults; what is not there is QEMU's default
    std::string group; // UUID; empty: none
    std::string group_name;
    std::string service;
    std::vector<std::string> labels;
    std::string qmp; // socket on which the daemon waits for QEMU
    bool operator==(const ResolvedDomain &) const = default;
};

inline constexpr std::uint64_t kDramLeast = 16U << 20;  // the engine's least
inline constexpr std::uint64_t kRegionBytes = 2U << 20; // limits and capacities are multiples

// Every reason why this domain cannot start tiered here, one sentence each. EINVAL.
// `domain.element` must be there.
Result<ResolvedDomain> resolve(const Domain &domain, const HostConfig &host);

// The same, with the reasons apart. With problems, `resolved` holds what could be made out.
struct Resolution {
    ResolvedDomain resolved;
    std::vector<std::string> problems;
};
Resolution resolve_all(const Domain &domain, const HostConfig &host);

nlohmann::json to_json(const ResolvedDomain &resolved);
std::string to_json_text(const ResolvedDomain &resolved);
// Unknown keys are passed over; a version other than 1 is refused.
Result<ResolvedDomain> resolved_from_json(std::string_view text);
inline constexpr std::size_t kJsonMost = 1U << 20; // bytes, of this and of a Domain

// `tidemark validate`: everything that is wrong with a domain, or with our element alone, on this host.
// Without problems it would start: tiered, or not if it is off or has no element of ours.
struct Validation {
    enum class Kind : std::uint8_t { no_element, off, tiered };
    Kind kind = Kind::no_element;
    std::vector<std::string> problems;
};
Validation validate(std::string_view xml, const HostConfig &host);

} // namespace tidemark::domain
