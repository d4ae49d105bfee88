// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the engine keeps of pages that come from another host (place.cc).
#pragma once

#include "base/warmth.h"
#include "engine/page_queue.h"

#include <chrono>
#include <cstdint>

namespace tidemark {

// For a page of DRAM, while tiers are full or fail.
inline constexpr std::chrono::milliseconds kPlacePatience = std::chrono::seconds(30);

enum class Placed : std::uint8_t {
    done,     // the page is where it is to be
    write_it, // by an access to the guest's memory: it is there, or may as well come there by a fault
    no_room, // DRAM is full, and nothing of it could leave for so long
};

struct PlaceCounters { // pages, each as often as it came
    std::uint64_t mapped = 0, staged = 0, zero = 0;
    std::uint64_t again = 0; // over bytes that had come before
};

// How one page is to be placed; what it needs is charged and in transit.
enum class PlaceStep : std::uint8_t {
    nothing,   // it holds zeros already, and is to
    write,     // Placed::write_it
    discard,   // what it holds goes first
    to_guest,  // into R, where nothing is
    to_shadow, // into S, where nothing is
    take_back, // into R, and S is given up
    overwrite, // over what is in S
    no_room,   // Placed::no_room
};

struct Placing {
    // Cold pages in S, in the order they came, that are to leave for a tier before anything else does: to QLC,
    // and to the fastest there is. May hold leavers.
    PageQueue dense, cold;
    std::uint32_t waiters = 0; // for DRAM
    bool active = false;       // pages come
    PlaceCounters counters;

    // Whole batches leave at once; what is left of them when DRAM is short.
    bool due() const { return dense.size() >= kRegionPages || cold.size() >= kRegionPages; }
    PageQueue *next(bool shortage) {
        for (PageQueue *queue : {&dense, &cold})
            if (queue->size() >= kRegionPages || (shortage && !queue->empty()))
                return queue;
        return nullptr;
    }
};

} // namespace tidemark
