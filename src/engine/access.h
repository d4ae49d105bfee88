// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the engine sees of how a guest uses its memory, for those who learn from it. Resident pages raise no
// faults, so this is a sample: first touches, refaults, pages on probation in S that were used after all.
#pragma once

#include "base/units.h"

#include <cstdint>

namespace tidemark {

// Who asked for a page to come into DRAM. Kept with the page until it is mapped, or leaves.
enum class Origin : std::uint8_t {
    guest = 0,   // an access
    streams = 1, // read ahead of a walk (engine/streams.h)
    successors,  // an order that came again (engine/successors.h)
    record,      // a recorded working set, replayed
    request,     // an operator's or the daemon's request
    phases,      // a working set that returns (predict/phases.h)
    network,     // the recurrent network (predict/network.h)
};
inline constexpr std::size_t kOrigins = 7;
constexpr std::size_t index_of(Origin origin) {
    return static_cast<std::size_t>(origin);
}

enum class AccessKind : std::uint8_t {
    first_touch, // untouched or zero pages came in
    staged,      // used while on probation: no I/O
    stored,      // the guest waited for a tier
    prefetched,  // used after it had been brought in unasked; origin says by whom
    came_along,  // not an access: back from probation with a neighbour that was used
    left,        // not an access: left DRAM (to a slot, or as zeros)
    wasted,      // not an access: left DRAM unused; origin says who had brought it in
};

constexpr bool is_leaving(AccessKind kind) {
    return kind == AccessKind::left || kind == AccessKind::wasted;
}
constexpr bool is_use(AccessKind kind) {
    return !is_leaving(kind) && kind != AccessKind::came_along;
}

struct Access {
    PageIndex first;
    std::uint32_t count = 1;
    AccessKind kind = AccessKind::first_touch;
    Origin origin = Origin::guest;
    bool write = false;   // of the fault; false if not known
    std::uint32_t ms = 0; // since the backend was attached
};
static_assert(sizeof(Access) == 16, "a log of them is part of the memory a guest costs");

} // namespace tidemark
