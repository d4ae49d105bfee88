// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pages of a guest that comes from another host, and what the next host is told of them.
//
//    hot               into R, as if just used
//    warm              into S, as if just put on probation
//    cold              into S, and from there to a tier with the next 511 of their kind, before anything that is
//                      here leaves: they pass through DRAM, and take 2 MiB of it and what is being written
//    sent once more    the guest has written it meanwhile: into R if there is room, else as warm
//    zeros             nothing is kept of the page
//
// The guest does not run yet, but devices and the monitor may touch its memory at any time: a page is in transit
// while it is placed, and a fault on it waits for the end of that, as everywhere. Whoever places waits for DRAM
// like a fault does, but leaves faults half of the reserve, and not for ever: the migration can still fail.
#include "engine/backend.h"

#include <algorithm>
#include <cstring>

namespace tidemark {

namespace {
constexpr auto kRoomWait = std::chrono::milliseconds(20); // then the evictor is told once more
constexpr std::uint32_t kTableSweep = 65536;              // entries looked at per hold of the lock

std::uint8_t temperature_of(const PageEntry &entry, std::uint8_t resident, TierClass tier) {
    switch (entry.state) {
    case PageState::untouched:
    case PageState::zero:
    case PageState::poisoned:
    case PageState::remote:
        return temperature::none;
    case PageState::resident:
    case PageState::filling:
        return resident;
    case PageState::staging:
    case PageState::staged:
    case PageState::writing:
        return temperature::probation;
    case PageState::stored:
    case PageState::loading:
    case PageState::arrived:
    case PageState::held:
        break;
    }
    return tier == TierClass::qlc ? temperature::dense : temperature::cold;
}

} // namespace

Placed Backend::place(PageIndex page, const std::byte *bytes, Warmth warmth,
                      std::chrono::milliseconds patience) {
    const auto until = Clock::now() + patience;
    for (;;) {
        PlaceStep step = PlaceStep::write;
        {
            MutexLock lock(mutex_);
            if (armed_)
                step = plan_place(page, bytes == nullptr, warmth, until);
        }
        switch (step) {
        case PlaceStep::nothing:
            return Placed::done;
        case PlaceStep::write:
            return Placed::write_it;
        case PlaceStep::no_room:
            return Placed::no_room;
        case PlaceStep::discard:
            discard_part(
                {page, 1},
                PageState::untouched); // then look again: somebody may have been at the page
            break;
        default:
            return carry_out(page, bytes, step, warmth);
        }
    }
}

PlaceStep Backend::plan_place(PageIndex page, bool zero, Warmth warmth, Clock::time_point until) {
    PageEntry &entry = table_[page];
    for (;;) {
        wait_still(page);
        if (stopping_)
            return PlaceStep::write;
        const PageState from = entry.state;
        const bool nowhere = from == PageState::untouched || from == PageState::zero;
        if (zero) {
            placing_.counters.zero += nowhere ? 1 : 0; // after a discard it comes by here again
            return nowhere ? PlaceStep::nothing : PlaceStep::discard;
        }
        if (from == PageState::remote)
            return PlaceStep::write; // postcopy has begun: it delivers
        if (from == PageState::resident) {
            ++placing_.counters.again;
            return PlaceStep::write;
        }
        if (!nowhere && from != PageState::staged && from != PageState::stored)
            return PlaceStep::discard;
        const bool room = charge(1, true);
        if (from == PageState::staged) {
            ++placing_.counters.again;
            table_.set_state(page, PageState::filling);
            if (!room)
                return PlaceStep::overwrite;
            entry.set(page_flags::shadow_reading);
            return PlaceStep::take_back;
        }
        if (!room && Clock::now() > until)
            return PlaceStep::no_room;
        if (!room) {
            // What pages it may take shows only when there is one: any of this can change meanwhile.
            ++placing_.waiters;
            room_.wait_for(mutex_, kRoomWait);
            --placing_.waiters;
            continue;
        }
        placing_.active = true;
        // The slot of a stored page is kept, as that of a resident one: its checksum will tell.
        table_.set_state(page, nowhere ? PageState::filling : PageState::loading);
        placing_.counters.again += nowhere ? 0 : 1;
        if (warmth == Warmth::hot || !nowhere || entry.shadow_in_use() ||
            table_.region_of(page).shadow_huge)
            return PlaceStep::to_guest;
        // Until it is there, nobody else may think the place in S free.
        entry.set(page_flags::shadow_reading);
        return PlaceStep::to_shadow;
    }
}

Placed Backend::carry_out(PageIndex page, const std::byte *bytes, PlaceStep step, Warmth warmth) {
    bool there = true; // the bytes are
    if (step == PlaceStep::overwrite)
        std::memcpy(memory_->shadow(page), bytes, kPageSize);
    else
        there = put_bytes(page, bytes, step == PlaceStep::to_shadow);
    const bool mapped = step == PlaceStep::to_guest || step == PlaceStep::take_back;
    MutexLock lock(mutex_);
    PageEntry &entry = table_[page];
    const std::uint16_t now = coarse_now();
    if (step != PlaceStep::overwrite)
        entry.clear(page_flags::shadow_reading);
    if (!mapped) {
        ++placing_.counters.staged;
        finish(page, PageState::staged, now);
        const bool passes = step == PlaceStep::to_shadow && warmth < Warmth::warm;
        PageQueue &queue = !passes                   ? staged_queue_
                           : warmth == Warmth::dense ? placing_.dense
                                                     : placing_.cold;
        queue.push_back(page);
        if (placing_.due())
            work_.notify_one();
        return Placed::done;
    }
    ++placing_.counters.mapped;
    if (step == PlaceStep::take_back)
        retire_shadow(page); // wait_still() has seen that no writer needs it
    finish_resident(page,
                    warmth == Warmth::hot || step == PlaceStep::take_back ? EnterReason::foreseen
                                                                          : EnterReason::unasked,
                    now);
    return there ? Placed::done : Placed::write_it;
}

// False: something is in R already, behind our back, and has to be written over by an access. (Nothing is in S:
// only the engine puts pages there.)
bool Backend::put_bytes(PageIndex page, const std::byte *bytes, bool shadow) {
    const PageRun run{page, 1};
    for (;;) {
        const RunResult result =
            shadow ? memory_->copy_shadow(run, bytes) : memory_->copy_in(run, bytes);
        TIDEMARK_CHECK(!shadow || result.error != EEXIST);
        if (settle_mapping(run, result) != 0)
            return result.error != EEXIST;
    }
}

PlaceCounters Backend::end_placing() {
    MutexLock lock(mutex_);
    for (PageQueue *queue : {&placing_.dense, &placing_.cold})
        for (; !queue->empty(); queue->pop_front())
            staged_queue_.push_back(queue->front());
    placing_.active = false;
    return placing_.counters;
}

void Backend::erase() {
    discard({PageIndex{0}, pages_});
    // No slot is in use now and no write under way: discarding waits for pages in transit.
    drop_stale_shadows();
    for (const auto &tier : tiers_)
        if (const int error = tier->disk().discard(0, bytes_of(tier->capacity_slots()));
            error != 0 && listener_.log)
            listener_.log(LogLevel::warn, "a tier of '" + id_ + "' keeps what was written to it: " +
                                              std::strerror(error));
}

// By how many of the resident pages are colder, so that every step is of as many pages.
std::array<std::uint8_t, 256> Backend::temperature_by_rank() {
    std::array<std::uint64_t, 256> by_coldness{};
    for (unsigned rank = 0; rank < 256; ++rank)
        by_coldness[policy_->coldness(static_cast<std::uint8_t>(rank))] += resident_by_rank_[rank];
    const std::uint64_t all = std::max(table_.count(PageState::resident), 1u);
    std::array<std::uint8_t, 256> level{};
    constexpr unsigned steps = temperature::hottest - temperature::coolest;
    std::uint64_t colder = 0;
    for (unsigned coldness = 0; coldness < 256; ++coldness) {
        const std::uint64_t middle = colder + by_coldness[coldness] / 2;
        level[coldness] = static_cast<std::uint8_t>(
            temperature::coolest + std::min<std::uint64_t>(steps, middle * (steps + 1) / all));
        colder += by_coldness[coldness];
    }
    return level;
}

// In pieces: it need not be of one moment.
std::vector<std::uint8_t> Backend::temperatures() {
    std::vector<std::uint8_t> levels;
    std::array<std::uint8_t, 256> by_coldness{};
    {
        MutexLock lock(mutex_);
        if (!armed_)
            return levels;
        by_coldness = temperature_by_rank();
    }
    levels.reserve(pages_);
    while (levels.size() < pages_) {
        MutexLock lock(mutex_);
        for (std::uint32_t i = 0; i < kTableSweep && levels.size() < pages_; ++i) {
            const PageIndex page{static_cast<std::uint32_t>(levels.size())};
            const PageEntry &entry = table_[page];
            levels.push_back(temperature_of(entry,
                                            by_coldness[policy_->coldness(table_.rank(page))],
                                            tiers_[entry.tier()]->tier_class()));
        }
    }
    return levels;
}

} // namespace tidemark
