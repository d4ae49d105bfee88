// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a guest is set to, and who may say so. Four voices, the first one that says something about a
// value wins:
//   1. the operator, about this guest (PATCH /guests/{uuid})
//   2. the domain's element, where it says it itself
//   3. the policy of the guest's affinity group
//   4. the host's [defaults], and for what they leave open QEMU's own
#pragma once

#include "domain/policy.h"

#include <cstdint>
#include <optional>
#include <string>

namespace tidemark::daemon {

// What a voice says about policy. An empty field: it leaves it to the next voice.
using PolicySettings = domain::Policy;

struct GuestSettings {
    std::optional<std::uint64_t> dram_limit; // bytes, of all of the guest's memory
    std::optional<std::uint64_t> dram_floor;
    std::optional<std::uint32_t> priority; // 1..1000
    PolicySettings policy;

    bool operator==(const GuestSettings &) const = default;
};

// The group a guest belongs to, as its members' settings need it.
struct GuestGroup {
    std::string uuid;
    std::string name;
    std::optional<std::uint32_t> priority;
    PolicySettings policy;
};

// What is left when all four have spoken. The fields of policy may be empty still: QEMU's default then.
struct EffectiveSettings {
    std::uint64_t dram_limit = 0; // 0: nobody said; the limit stays what QEMU was started with
    std::uint64_t dram_floor = 0;
    std::uint32_t priority = domain::kPriorityDefault;
    PolicySettings policy;

    bool operator==(const EffectiveSettings &) const = default;
};

EffectiveSettings resolve_settings(const GuestSettings &from_operator,
                                   const GuestSettings &from_domain,
                                   const std::optional<GuestGroup> &group,
                                   const PolicySettings &defaults);

} // namespace tidemark::daemon
