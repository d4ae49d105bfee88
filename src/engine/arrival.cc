// SPDX-License-Identifier: GPL-2.0-or-later
//
// The life of an arrival (ahead.cc), from its first read until its pages are the guest's.
//
//    ahead thread:  start_ahead() ... finish_read() of each request -> verify_arrival() -> settle_arrival()
//    who comes for it, or the ahead thread if a fault waits:  land_arrival() -> end_arrival()
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tidemark {

namespace {
constexpr std::uint32_t kGapRead = 16; // pages not needed that are read along
} // namespace

void Backend::take_arrival_pages(Arrival &arrival) {
    arrival.items.clear();
    arrival.pages.reset();
    arrival.read.reset();
    for (PageIndex page = arrival.region.first; page < arrival.region.end(); page = page.next()) {
        const PageEntry &entry = table_[page];
        if (entry.state == PageState::stored) {
            table_.set_state(page, PageState::loading);
            table_[page].origin = Origin::streams;
            arrival.read.set(page.value - arrival.region.first.value);
            arrival.items.push_back(item_of(page, entry));
        } else if (arrival.whole) {
            table_.set_state(page, PageState::filling);
        } else {
            continue;
        }
        arrival.pages.set(page.value - arrival.region.first.value);
    }
    issued(Origin::streams) += arrival.items.size();
}

// Pages lie in the frame as they will lie in R. Slots that follow each other make one read, wherever
// their pages go; so do slots that are as far apart as their pages, what lies between them included, unless
// a page between them is read from elsewhere.
void Backend::start_ahead(Arrival &arrival) {
    arrival.requests.clear();
    arrival.request_tier.clear();
    arrival.bytes =
        arrival.spare.count != 0 ? memory_->shadow(arrival.spare.first) : arrival.frame->data();
    if (arrival.spare.count == 0 && arrival.frame->fill() != 0) {
        for (LoadItem &item : arrival.items) // ENOMEM: as if it had never been asked for
            item.error = ENOMEM;
        settle_arrival(arrival);
        return;
    }
    std::sort(arrival.items.begin(), arrival.items.end(), [](const LoadItem &a, const LoadItem &b) {
        return std::pair(a.tier, a.slot) < std::pair(b.tier, b.slot);
    });
    for (std::size_t i = 0; i < arrival.items.size(); ++i)
        add_read(arrival, i);
    arrival.pending = arrival.requests.size();
    // All at once: the disk is told once, not once a request.
    for (std::size_t tier = 0; tier < tiers_.size(); ++tier) {
        std::vector<IoRequest *> started;
        for (std::size_t i = 0; i < arrival.requests.size(); ++i)
            if (arrival.request_tier[i] == tier)
                started.push_back(&arrival.requests[i]);
        if (!started.empty())
            ahead_queues_[tier]->submit(started);
    }
}

bool Backend::reads_between(const Arrival &arrival, PageIndex first, PageIndex last) {
    for (PageIndex page = first.next(); page < last; page = page.next())
        if (arrival.read.test(page.value - arrival.region.first.value))
            return true;
    return false;
}

// Item i becomes part of the last request, or a new one.
void Backend::add_read(Arrival &arrival, std::size_t i) {
    LoadItem &item = arrival.items[i];
    std::byte *const bytes = arrival_bytes(arrival, item.page);
    if (i > 0 && arrival.items[i - 1].tier == item.tier) {
        const LoadItem &before = arrival.items[i - 1];
        const std::uint32_t apart = item.slot.value - before.slot.value;
        std::vector<iovec> &parts = arrival.requests.back().parts;
        item.request = before.request;
        if (apart <= kGapRead && item.page == before.page.next(apart) &&
            !reads_between(arrival, before.page, item.page)) {
            parts.back().iov_len += bytes_of(apart);
            return;
        }
        if (apart == 1) {
            parts.push_back({bytes, kPageSize});
            return;
        }
    }
    IoRequest request;
    request.offset = item.slot.byte_offset();
    request.parts.push_back({bytes, kPageSize});
    request.tag = reinterpret_cast<std::uint64_t>(&arrival);
    item.request = static_cast<std::uint16_t>(arrival.requests.size());
    arrival.requests.push_back(std::move(request));
    arrival.request_tier.push_back(item.tier);
}

std::byte *Backend::arrival_bytes(const Arrival &arrival, PageIndex page) {
    return arrival.bytes + bytes_of(page.value - arrival.region.first.value);
}

void Backend::finish_read(IoRequest &request) {
    Arrival &arrival = *reinterpret_cast<Arrival *>(request.tag);
    const bool good = request.result == static_cast<std::int64_t>(request.length());
    const auto number = static_cast<std::size_t>(&request - arrival.requests.data());
    TierCounters &counters = tiers_[arrival.request_tier[number]]->counters();
    if (good)
        counters.read_bytes += request.length();
    else
        ++counters.read_errors;
    request.result = good ? 1 : 0; // for verify_arrival()
    if (--arrival.pending == 0) {
        verify_arrival(arrival);
        settle_arrival(arrival);
    }
}

void Backend::verify_arrival(Arrival &arrival) {
    for (LoadItem &item : arrival.items) {
        const bool read = arrival.requests[item.request].result == 1;
        item.error = read ? 0 : EIO;
        if (read && page_checksum(arrival_bytes(arrival, item.page)) != item.checksum) {
            ++tiers_[item.tier]->counters().checksum_errors;
            item.error = EBADMSG;
        }
    }
    if (!arrival.whole || arrival.items.size() == kRegionPages)
        return;
    // Reading along has put old bytes where there are to be zeros.
    const std::bitset<kRegionPages> zeros = arrival.pages & ~arrival.read;
    for (std::uint32_t i = 0; i < kRegionPages; ++i)
        if (zeros.test(i))
            std::memset(arrival.bytes + bytes_of(i), 0, kPageSize);
}

// All is in: the pages wait for their first access, or are mapped if that has come already.
void Backend::settle_arrival(Arrival &arrival) {
    // Scattered slots take a request each: that is not kept.
    std::vector<IoRequest>().swap(arrival.requests);
    bool wanted = false;
    {
        MutexLock lock(mutex_);
        const std::uint16_t now = coarse_now();
        for (const LoadItem &item : arrival.items)
            if (item.error != 0) { // a fault reads it again, and tells if that fails too
                arrival.whole = false;
                arrival.pages.reset(item.page.value - arrival.region.first.value);
                finish(item.page, PageState::stored, now);
            }
        for (std::uint32_t i = 0; i < arrival.region.count && !wanted; ++i)
            wanted = arrival.pages.test(i) &&
                     table_[arrival.region.first.next(i)].has(page_flags::wanted);
        arrival.phase = wanted ? Arrival::Phase::landing : Arrival::Phase::ready;
        arrival.metadata = arrival.items.capacity() * sizeof(LoadItem);
        arrival.since = Clock::now();
        for (std::uint32_t i = 0; i < arrival.region.count && !wanted; ++i)
            if (arrival.pages.test(i))
                finish(arrival.region.first.next(i), PageState::arrived, now);
    }
    if (wanted)
        land_arrival(arrival, nullptr);
}

// A walk has come to a region that is still being read: it goes on from there all the same, or it would have to be
// found out anew behind it.
void Backend::walk_on(Arrival &arrival, const Fault &fault) {
    const Ahead ahead = streams_.look(fault.page, Streams::kMost);
    if (!ahead.walks() || !ahead.in_order())
        return;
    arrival.go_on = true;
    walked(fault.page, arrival.region.end().value - fault.page.value);
}

Plan Backend::plan_landing(const Fault &fault) {
    Arrival *const arrival = find_arrival(fault.page);
    TIDEMARK_CHECK(arrival != nullptr && arrival->phase == Arrival::Phase::ready);
    arrival->phase = Arrival::Phase::landing;
    for (std::uint32_t i = 0; i < arrival->region.count; ++i) {
        const PageIndex page = arrival->region.first.next(i);
        if (table_[page].state == PageState::arrived)
            table_.set_state(page, PageState::filling);
        else
            arrival->pages.reset(i); // discarded since
    }
    log_access(arrival->region, AccessKind::prefetched, Origin::streams, fault.write);
    // An access at random that happens to meet a region is no reason to read on.
    const Ahead ahead = streams_.look(fault.page, Streams::kMost);
    arrival->go_on = ahead.walks() && ahead.in_order();
    walked(fault.page, arrival->region.end().value - fault.page.value);
    return {Step::land, arrival->region, arrival};
}

// Maps the pages of an arrival (in transit, ours) and asks for what comes next.
void Backend::land_arrival(Arrival &arrival, const Fault *fault) {
    const bool whole = arrival.whole && arrival.pages.all() &&
                       memory_->drop_guest(arrival.region) == 0; // its empty page table
    if (whole)
        move_in(arrival.region, arrival.bytes, arrival.spare);
    for (std::uint32_t i = 0; !whole && i < arrival.region.count;) {
        std::uint32_t end = i;
        while (end < arrival.region.count && arrival.pages.test(end))
            ++end;
        const PageRun run{arrival.region.first.next(i), end - i};
        if (run.count != 0)
            map_in(run, arrival.bytes + bytes_of(i));
        i = std::max(end, i + 1);
    }
    if (fault != nullptr)
        count_latency(*fault, EnterReason::refault_stored);
    MutexLock lock(mutex_);
    const std::uint16_t now = coarse_now();
    for (std::uint32_t i = 0; !whole && i < arrival.region.count; ++i) {
        if (!arrival.pages.test(i))
            continue;
        const PageIndex page = arrival.region.first.next(i);
        finish_resident(page, EnterReason::unasked, now);
    }
    if (whole)
        finish_region(arrival.region, EnterReason::unasked, now);
    const auto landed = static_cast<std::uint32_t>(arrival.pages.count());
    // Somebody came for each, or for its neighbour. Zeros taken along were never read.
    counters_.prefetch.used[index_of(Origin::streams)] += (arrival.pages & arrival.read).count();
    const PageIndex behind = arrival.region.end();
    const bool go_on = arrival.go_on;
    end_arrival(arrival, landed, whole);
    if (go_on)
        request_ahead(behind);
}

// Settles the charge: `landed` pages are the guest's now. If they were not moved but copied, the 2 MiB
// they were copied from are left, charged: in S as a spare, in the frame for the next arrival.
void Backend::end_arrival(Arrival &arrival, std::uint32_t landed, bool moved) {
    const std::uint32_t used = landed + (moved ? 0 : kRegionPages);
    if (arrival.charged >= used)
        uncharge(arrival.charged - used);
    else
        charged_ += used - arrival.charged; // was to be moved whole, but a page has gone since
    if (moved) {
        spare_moved(arrival.spare);
        arrival.frame_filled = false;
    } else if (arrival.spare.count != 0) {
        give_spare(arrival.spare);
    }
    // Without a region find_arrival() can't take it for a later one that has the same.
    arrival.region = {};
    arrival.phase = Arrival::Phase::idle;
    arrival.since = Clock::now();
}

} // namespace tidemark
