// SPDX-License-Identifier: GPL-2.0-or-later
//
// Work on pages in transit: what a thread of the backend carries from one hold of the lock to the next.
#pragma once

#include "engine/access.h"
#include "engine/arrival.h"
#include "engine/loader.h"
#include "store/tier.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace tidemark {

using Clock = std::chrono::steady_clock;

// A fault waits so long for 2 MiB of DRAM, before less will do.
inline constexpr auto kRegionWait = std::chrono::milliseconds(20);
inline constexpr std::chrono::seconds kStampUnit{4}; // of PageEntry::stamp

struct Fault {
    PageIndex page;
    std::int32_t thread_id = 0;
    Clock::time_point since;
    bool write = false;
    std::uint32_t need = 1; // pages of free DRAM it waits for, if parked
};

// How a fault is to be served.
enum class Step : std::uint8_t {
    none,        // nothing to do: parked, left to whoever ends a transit, or held
    refill,      // zeros, unless the page is there after all
    zero_fill,   // zeros for one page or a few
    region_fill, // a huge page of zeros
    from_shadow, // a copy of S
    region_back, // S's huge page, moved
    load,        // a read
    land,        // what was read ahead
    poison,      // a memory error
    ask          // another host
};

struct Plan {
    Step step = Step::none;
    PageRun run;
    Arrival *arrival = nullptr;
    PageRun spare = {};
};

struct Demand { // a fault whose page is being read
    Fault fault;
    bool reads_on = false; // of no fault: read_on.h
    std::unique_ptr<Loader> loader;
    std::size_t pending = 0; // requests not finished; 0: free
};

// What comes after a page that is or will be in DRAM (read_on.h).
struct Course {
    Origin origin = Origin::streams; // or successors
    std::int32_t thread_id = 0;      // that goes there
    std::int32_t stride = 0;         // of a stream
    PageIndex last;                  // behind which it goes on
    std::uint32_t read = 0; // for the window up to there, if nobody else will count it as used
};

struct MarkedWindow {
    Course course; // behind it; `read` is of the window before it
    PageIndex mark{};
    std::uint32_t pages = 0; // of the course, from the mark on
    std::uint32_t read = 0;  // for it, without the mark
};

struct ReadOnState {
    std::optional<Course> due;                          // a window of it is to be read
    std::array<std::optional<MarkedWindow>, 4> windows; // whose marks nobody has come to
    std::size_t oldest = 0;
};

struct Held { // a page that can't be read back, and who waits for it
    PageIndex page;
    int error;
    std::vector<std::int32_t> threads;
};

struct Watched { // a page prefetched to S, where it waits to be used
    PageIndex page;
    Clock::time_point until;
    std::uint64_t turnover; // of the pages that have left DRAM
};

struct ProbationSeen { // counters
    std::uint64_t used = 0, left = 0;
};

struct WriteItem {
    PageIndex page;
    std::uint64_t stored_checksum = 0; // of the copy in a slot, 0 if there is none
    std::uint64_t checksum = 0;        // of the bytes now
    Slot own_slot;                     // that copy's
    Slot slot;                         // of the bytes now
    std::uint8_t tier = 0;             // of own_slot, then of slot
    enum class Outcome : std::uint8_t { failed, zero, clean, written } outcome = Outcome::failed;
    bool owns_slot_in(std::size_t index) const { return own_slot.valid() && tier == index; }
};

struct WritePiece { // items [first, first + count) go to run
    SlotRun run;
    std::size_t first = 0, count = 0;
    bool in_place = false; // over their own slots
};

struct WriteBatch {
    std::size_t tier = 0;
    std::vector<WriteItem> items;
    std::vector<WritePiece> pieces;
    std::vector<IoRequest> requests; // one a piece
    std::size_t pending = 0;         // not finished
    bool forced = true;              // DRAM is short; else a tier's budget holds
};

} // namespace tidemark
