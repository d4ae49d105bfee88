// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a guest is set to, and who may say so. Four voices, the first one that says something about a
// value wins:
//   1. the operator, about this guest (PATCH /guests/{uuid})
//   2. the domain's element, where it says it itself
//   3. the policy of the guest's affinity group
//   4. the host's [defaults], and for what they leave open QEMU's own
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace tidemark::daemon {

enum class EvictionPolicy : std::uint8_t { lru, lfu, fifo };

// What a voice says about policy. An empty field: it leaves it to the next voice.
struct PolicySettings {
    std::optional<EvictionPolicy> eviction;
    std::optional<std::uint32_t> cold_age_s;
    std::optional<bool> prefetch;
    std::optional<std::uint32_t> prefetch_window_s;
    std::optional<std::uint32_t> reclaim_slowdown_permille;
    std::optional<bool> learn;
    // Stored and reported; has no effect before guests share RAM.
    std::optional<bool> reuse;

    bool operator==(const PolicySettings &) const = default;
};

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

inline constexpr std::uint32_t kDefaultPriority = 100;

// What is left when all four have spoken. The fields of policy may be empty still: QEMU's default then.
struct EffectiveSettings {
    std::uint64_t dram_limit = 0; // 0: nobody said; the limit stays what QEMU was started with
    std::uint64_t dram_floor = 0;
    std::uint32_t priority = kDefaultPriority;
    PolicySettings policy;

    bool operator==(const EffectiveSettings &) const = default;
};

EffectiveSettings resolve_settings(const GuestSettings &from_operator,
                                   const GuestSettings &from_domain,
                                   const std::optional<GuestGroup> &group,
                                   const PolicySettings &defaults);

const char *to_string(EvictionPolicy policy);                              // as in QMP: "lru"
std::optional<EvictionPolicy> eviction_policy_of(const std::string &text); // any case

} // namespace tidemark::daemon
