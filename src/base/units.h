// SPDX-License-Identifier: GPL-2.0-or-later
//
// The quantities the engine counts in. A page index, a number of pages and a number of bytes are
// different things; the compiler keeps them apart.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace tidemark {

inline constexpr std::size_t kPageSize = 4096;
// Pages of a region: 2 MiB, what the processor can map as one huge page.
inline constexpr std::uint32_t kRegionPages = 512;

// One page of a block of guest RAM, counted from the block's start.
struct PageIndex {
    std::uint32_t value = 0;
    constexpr auto operator<=>(const PageIndex &) const = default;
    constexpr std::uint64_t byte_offset() const { return std::uint64_t{value} * kPageSize; }
    constexpr PageIndex next(std::uint32_t n = 1) const { return PageIndex{value + n}; }
};

// Consecutive pages [first, first + count).
struct PageRun {
    PageIndex first;
    std::uint32_t count = 0;
    constexpr PageIndex end() const { return first.next(count); }
    constexpr bool operator==(const PageRun &) const = default;
};

// One page-sized place in a tier, counted from the tier's start.
struct Slot {
    std::uint32_t value = kNone;
    static constexpr std::uint32_t kNone = UINT32_MAX;
    constexpr auto operator<=>(const Slot &) const = default;
    constexpr bool valid() const { return value != kNone; }
    constexpr std::uint64_t byte_offset() const { return std::uint64_t{value} * kPageSize; }
    constexpr Slot next(std::uint32_t count) const { return Slot{value + count}; }
};

constexpr std::uint64_t bytes_of(std::uint64_t pages) {
    return pages * kPageSize;
}

} // namespace tidemark
