// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where each page of a block is, in 17 bytes a page.
//
//                     +---------------- discard (balloon, free page reporting) <------- any
//                     v
//    untouched --fault--> filling --> resident --evict--> staging --> staged --clean--> writing
//        zero  --fault-->    ^           ^                              |                  |
//                            +-- refault (copy from the shadow) --------+-- refault -------+
//                            |                                                             v
//                            |   resident <--verify, copy in-- loading <-- fault, prefetch -- stored
//                                                            |    (or moved from tier to tier)
//                        resident <--first access-- arrived <--+--> held --retry--> stored
//                                    (read ahead)                     +--give up--> poisoned
//
//    any --postcopy begins--> remote --delivered--> filling --> resident, staged
//                                    --delivered as zeros, given up--> untouched
//
// Invariants, checked by PageTable::set_state() and by the simulation:
//  - A page's bytes are in R (resident), in S (staging has them in one or the other, atomically;
//    staged, writing), in a slot whose checksum is known (stored, held; arrived has a verified copy
//    in a frame too) or on another host (remote). Never nowhere.
//  - A resident page may own a slot too: a copy that was right when the page was loaded. Whether it
//    still is shows only by its checksum, after the page has been staged.
//  - While a page is in transit (staging, filling, loading, writing) exactly one thread owns the change.
//    A fault on it sets `wanted` and is served by whoever ends the transit. Only `writing` lets a fault
//    in at once, because S can be copied from while it is being written.
//  - S[i] holds a page exactly while the state is staged or writing, or a shadow_* flag says so.
#pragma once

#include "base/check.h"
#include "base/units.h"
#include "engine/access.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace tidemark {

enum class PageState : std::uint8_t {
    untouched, // never written, or discarded: reads as zero. -> filling, resident (when arming), remote
    zero,      // was written, holds zeros, needs no slot. -> filling, untouched, remote
    filling, // a thread maps it, peeks at it or discards it. -> resident, staged, arrived, untouched, zero, remote
    resident, // mapped in R; the guest may write it at any time. -> staging, filling
    staging,  // being moved from R to S. -> staged, resident (pinned), untouched (hole)
    staged,   // in S only: out of the guest's sight, still DRAM. -> writing, filling
    writing,  // staged, and being checked, hashed and written. -> stored, zero, staged, filling
    stored,   // in a slot of a tier only. -> loading, untouched, remote
    loading,  // being read from its slot. -> resident, staged (prefetched), arrived, stored, held
    arrived, // read ahead of use: verified, in DRAM, not mapped yet. -> filling, stored, zero, untouched, remote
    held, // can't be read back; accesses wait for the operator. -> stored, poisoned, untouched, remote
    poisoned, // given up; accesses get a memory error. -> filling (discard)
    remote, // at the host the guest comes from; accesses wait for its delivery. -> filling, untouched
};
inline constexpr std::size_t kPageStates = 13;

namespace page_flags {
inline constexpr std::uint8_t tier_mask = 0x07; // index of the tier that `slot` is in
inline constexpr std::uint8_t wanted = 0x08;    // a fault waits for the transit's end
inline constexpr std::uint8_t shadow_busy =
    0x10; // S[i] is being written from, and state has left `writing`
inline constexpr std::uint8_t shadow_stale = 0x20;   // S[i] is to be dropped
inline constexpr std::uint8_t shadow_reading = 0x80; // somebody copies S[i] back into R
inline constexpr std::uint8_t watched = 0x40;        // prefetched to S: its first use will be seen
} // namespace page_flags

struct PageEntry {
    std::uint64_t checksum = 0; // of the slot's bytes; 0 without a slot
    Slot slot;
    PageState state : 4 = PageState::untouched;
    Origin origin : 4 =
        Origin::guest; // who wanted it on its way to DRAM, or where its use will be seen
    std::uint8_t flags = 0;
    std::uint16_t stamp = 0; // CoarseTime of the last change of place

    bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
    void set(std::uint8_t flag) { flags = static_cast<std::uint8_t>(flags | flag); }
    void clear(std::uint8_t flag) { flags = static_cast<std::uint8_t>(flags & ~flag); }
    std::size_t tier() const { return flags & page_flags::tier_mask; }
    void set_tier(std::size_t index) {
        flags = static_cast<std::uint8_t>((flags & ~page_flags::tier_mask) | index);
    }
    bool shadow_in_use() const {
        return has(page_flags::shadow_busy | page_flags::shadow_stale | page_flags::shadow_reading);
    }
};
static_assert(sizeof(PageEntry) == 16, "PageEntry is 16 of the 24 bytes a guest page may cost");

// The same for 2 MiB at once, which the kernel moves as one huge page if it is one.
struct RegionEntry {
    std::uint16_t resident = 0;  // pages in that state
    std::uint16_t probation = 0; // pages staged or being written
    std::uint16_t stale = 0;     // of shadow_huge: pages of S that are to be dropped
    bool huge = false;           // R has (had, until part of it left) one huge page here
    bool shadow_huge = false;    // S has: it is dropped as a whole or not at all
};

bool transition_allowed(PageState from, PageState to);
const char *name_of(PageState state);
constexpr bool in_transit(PageState state) {
    return state == PageState::filling || state == PageState::staging ||
           state == PageState::loading || state == PageState::writing;
}

constexpr bool on_probation(PageState state) {
    return state == PageState::staged || state == PageState::writing;
}

class PageTable {
  public:
    explicit PageTable(std::uint32_t pages)
        : entries_(pages), rank_(pages), regions_((pages + kRegionPages - 1) / kRegionPages) {
        counts_[static_cast<std::size_t>(PageState::untouched)] = pages;
    }

    std::uint32_t size() const { return static_cast<std::uint32_t>(entries_.size()); }
    PageEntry &operator[](PageIndex page) { return entries_[page.value]; }
    const PageEntry &operator[](PageIndex page) const { return entries_[page.value]; }
    // The eviction policy's byte for a page.
    std::uint8_t &rank(PageIndex page) { return rank_[page.value]; }

    RegionEntry &region_of(PageIndex page) { return regions_[page.value / kRegionPages]; }
    const RegionEntry &region_of(PageIndex page) const {
        return regions_[page.value / kRegionPages];
    }
    // The 2 MiB around page; the last one may be shorter.
    PageRun region_run(PageIndex page) const {
        const std::uint32_t first = page.value / kRegionPages * kRegionPages;
        return {PageIndex{first}, std::min(kRegionPages, size() - first)};
    }

    void set_state(PageIndex page, PageState to) {
        PageEntry &entry = entries_[page.value];
        TIDEMARK_CHECK(transition_allowed(entry.state, to));
        --counts_[static_cast<std::size_t>(entry.state)];
        ++counts_[static_cast<std::size_t>(to)];
        RegionEntry &region = region_of(page);
        if (entry.state == PageState::resident)
            --region.resident;
        if (to == PageState::resident)
            ++region.resident;
        if (on_probation(entry.state))
            --region.probation;
        if (on_probation(to))
            ++region.probation;
        if (entry.state == PageState::stored)
            --stored_in_[entry.tier()];
        if (to == PageState::stored)
            ++stored_in_[entry.tier()];
        entry.state = to;
    }

    // Pages whose only copy is in the tier. (A stored page's tier does not change but in transit.)
    std::uint32_t stored_in(std::size_t tier) const { return stored_in_[tier]; }
    std::uint32_t count(PageState state) const { return counts_[static_cast<std::size_t>(state)]; }
    std::uint64_t bytes() const {
        return entries_.size() * (sizeof(PageEntry) + 1) + regions_.size() * sizeof(RegionEntry);
    }

  private:
    std::vector<PageEntry> entries_;
    std::vector<std::uint8_t> rank_;
    std::vector<RegionEntry> regions_;
    std::array<std::uint32_t, kPageStates> counts_{};
    std::array<std::uint32_t, page_flags::tier_mask + 1> stored_in_{};
};

} // namespace tidemark
