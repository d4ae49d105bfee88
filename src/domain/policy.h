// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an operator may say about how a guest's memory is handled: in the domain element, in
// [defaults] of tidemark.toml, in a group. What is not said is left to whoever comes next, QEMU last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidemark::domain {

enum class Eviction : std::uint8_t { lru, lfu, fifo };
enum class TierClass : std::uint8_t { nvme, qlc };

std::string_view eviction_text(Eviction eviction); // "lru"
std::string_view tier_class_text(TierClass klass); // "nvme"
std::optional<Eviction> parse_eviction(std::string_view text);
std::optional<TierClass> parse_tier_class(std::string_view text);

struct Policy {
    std::optional<Eviction> eviction;
    std::optional<bool> prefetch;
    std::optional<std::uint32_t> window;   // seconds that forecasts look ahead, 1..kWindowMost
    std::optional<std::uint32_t> cold;     // seconds, 1..kColdMost
    std::optional<std::uint32_t> slowdown; // per mille, 0..kSlowdownMost
    std::optional<bool> learn;
    std::optional<bool> reuse;        // stored and reported; no effect yet
    std::optional<bool> learn_writes; // before any migration: which pages are written, and when

    // What is not said here is taken from `other`.
    Policy or_else(const Policy &other) const;
    bool operator==(const Policy &) const = default;
};

// The engine's own bounds (capi/options.cc).
inline constexpr std::uint32_t kWindowMost = 3600;
inline constexpr std::uint32_t kColdMost = 2 * 24 * 3600;
inline constexpr std::uint32_t kSlowdownMost = 500;

inline constexpr std::uint32_t kPriorityMost = 1000;
inline constexpr std::uint32_t kPriorityDefault = 100;

} // namespace tidemark::domain
