// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which resident page leaves first. A policy owns one byte per page, the rank, and orders ranks by
// coldness. Finding victims is the same for all: count resident pages per rank, take the coldest ranks
// that give enough pages, and sweep the block in address order for them, so that neighbours leave
// together in one UFFDIO_MOVE and one write.
//
// What a user-space pager sees of accesses are faults: a first touch, a refault from staging (the page
// was used while it was on probation) and a refault from a tier. LRU and LFU live on those.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

namespace tidemark {

enum class PolicyKind : std::uint8_t { lru = 0, lfu = 1, fifo = 2 };

enum class EnterReason : std::uint8_t {
    first_touch, // from untouched or zero
    refault_staged,
    refault_stored,
    unasked,  // read-ahead or prefetch: not an access
    foreseen, // prefetch that is sure to be used: as good as an access
    put_back, // could not leave (pinned)
};

class EvictionPolicy {
  public:
    virtual ~EvictionPolicy() = default;
    virtual PolicyKind kind() const = 0;
    // The page's new rank as it becomes resident.
    virtual std::uint8_t enter(std::uint8_t rank, EnterReason reason) = 0;
    // The DRAM limit, in pages, that decides how long a generation lasts.
    virtual void set_limit(std::uint32_t pages) = 0;
    // 0 = leaves first.
    virtual std::uint8_t coldness(std::uint8_t rank) const = 0;
    // Share of the DRAM limit, in 1/256, kept staged as a second chance before pages are written.
    virtual std::uint32_t staged_share() const = 0;
    // True once per ageing period: the caller then passes every page's rank through age().
    virtual bool ageing_due() = 0;
    virtual std::uint8_t age(std::uint8_t rank) const = 0;
};

// The coldest ranks that hold `want` pages between them: victims are at most so cold.
std::uint8_t coldness_of(const EvictionPolicy &policy,
                         const std::array<std::uint32_t, 256> &resident_by_rank,
                         std::uint32_t want);

std::unique_ptr<EvictionPolicy> make_policy(PolicyKind kind, std::uint32_t limit_pages);

} // namespace tidemark
