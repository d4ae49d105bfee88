// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading ahead of a guest that walks through its memory.
//
//   faults --stream_window()--> read-ahead on the fault itself, up to 64 pages   (fault_service.cc)
//          --request_ahead()--> whole regions of 2 MiB, by the ahead thread:
//
//   idle --plan_ahead()--> reading --all in, verified--> ready --first access--> landing --> idle
//                             |                            +--unused for a while--> idle
//                             +--a fault waits already--> landing
//
// Invariants
//  - A page of an Arrival that is being read is `loading` (or `filling`: it holds zeros); in phase ready
//    it is `arrived`; in phase landing `filling` or `loading`. No two arrivals have the same region.
//  - An arrival is charged with the 2 MiB its bytes are in, and with as many pages again as it would
//    copy if it can't be moved in one piece. An idle one keeps the former only if frame_filled.
//  - Nothing is mapped before the guest comes to the region: that first fault tells how far it is, and
//    costs one UFFDIO_MOVE of a huge page.
#include "engine/backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tidemark {

namespace {
constexpr std::uint32_t kFirstWindow = 2;
constexpr std::uint32_t kWorthReading = 32; // stored pages that make a region worth a read
constexpr std::uint32_t kGapRead = 16;      // pages not needed that are read along
constexpr auto kUnused = std::chrono::milliseconds(300);
constexpr int kUniteAtOnce =
    8; // regions that get their huge page back, each time nothing is to be read
constexpr auto kIdle = std::chrono::milliseconds(100);
} // namespace

// A stream is a place where the next fault is expected. Each fault that meets the expectation makes
// the window four times as large; a fault that meets none starts a new stream with no window.
std::uint32_t Backend::stream_window(PageIndex page, std::uint32_t cap) {
    for (const Stream &stream : streams_)
        if (stream.window != 0 && page >= stream.next &&
            page.value - stream.next.value <= stream.window)
            return std::min(cap, stream.window * 4);
    return 1;
}

void Backend::stream_served(PageIndex page, PageIndex end) {
    const std::uint32_t length = std::min(end.value - page.value, kStreamWindowMost);
    for (Stream &stream : streams_)
        if (stream.window != 0 && page >= stream.next &&
            page.value - stream.next.value <= stream.window) {
            stream = {end, std::max(length, kFirstWindow)};
            return;
        }
    streams_[next_stream_++ % streams_.size()] = {end, kFirstWindow};
}

// Regions from `from` on are wanted soon.
void Backend::request_ahead(PageIndex from) {
    const std::size_t depth =
        std::min<std::size_t>(arrivals_.size(), limit_pages_ / 16 / kRegionPages);
    for (std::size_t k = 0; k < depth && from.value < pages_; ++k) {
        if (find_arrival(from) == nullptr)
            plan_ahead(table_.region_run(from));
        from = from.next(kRegionPages);
    }
}

// Takes the region's pages into transit for the ahead thread, if that is worth it and there is room.
void Backend::plan_ahead(PageRun region) {
    std::uint32_t stored = 0, zero = 0;
    for (PageIndex page = region.first; page < region.end(); page = page.next()) {
        const PageState state = table_[page].state;
        stored += state == PageState::stored ? 1 : 0;
        zero += state == PageState::zero || state == PageState::untouched ? 1 : 0;
    }
    Arrival *const arrival = idle_arrival();
    if (stopping_ || stored < kWorthReading || arrival == nullptr)
        return;
    // Few zero pages among the others are taken along, for the sake of a huge page.
    const bool whole =
        stored + zero == kRegionPages && zero <= kRegionPages / 8 && memory_->huge_aligned();
    arrival->charged = kRegionPages + (whole ? 0 : stored);
    arrival->spare = {};
    const bool have = arrival->frame_filled || take_spare(arrival->spare);
    if (!charge(arrival->charged - (have ? kRegionPages : 0), true)) {
        if (arrival->spare.count != 0)
            give_spare(arrival->spare);
        return; // DRAM is short: later faults will ask again
    }
    arrival->frame_filled = arrival->spare.count == 0;
    expect_regions();
    arrival->phase = Arrival::Phase::reading;
    arrival->region = region;
    arrival->whole = whole;
    arrival->go_on = false;
    arrival->turn = ++ahead_turn_;
    take_arrival_pages(*arrival);
    ahead_queue_.push_back(arrival);
    ahead_work_.notify_one();
}

Backend::Arrival *Backend::find_arrival(PageIndex page) {
    for (const auto &arrival : arrivals_)
        if (arrival->phase != Arrival::Phase::idle && page >= arrival->region.first &&
            page < arrival->region.end())
            return arrival.get();
    return nullptr;
}

void Backend::ahead_main() {
    for (;;) {
        std::deque<Arrival *> planned;
        {
            MutexLock lock(mutex_);
            planned.swap(ahead_queue_);
        }
        for (Arrival *arrival : planned)
            start_ahead(*arrival);
        Arrival *oldest = nullptr;
        for (const auto &arrival : arrivals_)
            if (arrival->pending != 0 && (oldest == nullptr || arrival->turn < oldest->turn))
                oldest = arrival.get();
        if (oldest != nullptr) {
            IoRequest *request = ahead_queues_[oldest->items.front().tier]->wait_one();
            // Its reads may be spread over several tiers.
            for (std::size_t t = 0; request == nullptr && t < ahead_queues_.size(); ++t)
                request = ahead_queues_[t]->wait_one();
            TIDEMARK_CHECK(request != nullptr);
            finish_read(*request);
            deliver_events();
            continue;
        }
        {
            MutexLock lock(mutex_);
            if (stopping_)
                return;
            if (ahead_queue_.empty())
                ahead_work_.wait_for(mutex_, kIdle);
        }
        release_unused();
        for (int regions = 0; regions < kUniteAtOnce && unite_region(); ++regions) {
        }
    }
}

// One whose frame has memory, if there is one.
Backend::Arrival *Backend::idle_arrival() {
    Arrival *idle = nullptr;
    for (const auto &arrival : arrivals_)
        if (arrival->phase == Arrival::Phase::idle && (idle == nullptr || arrival->frame_filled))
            idle = arrival.get();
    return idle;
}

void Backend::take_arrival_pages(Arrival &arrival) {
    arrival.items.clear();
    arrival.pages.reset();
    for (PageIndex page = arrival.region.first; page < arrival.region.end(); page = page.next()) {
        const PageEntry &entry = table_[page];
        if (entry.state == PageState::stored) {
            table_.set_state(page, PageState::loading);
            arrival.items.push_back(
                {page, entry.slot, static_cast<std::uint8_t>(entry.tier()), entry.checksum, 0});
        } else if (arrival.whole) {
            table_.set_state(page, PageState::filling);
        } else {
            continue;
        }
        arrival.pages.set(page.value - arrival.region.first.value);
    }
    counters_.readahead_pages += arrival.items.size();
}

// Pages lie in the frame as they will lie in R. Slots that are as far apart as their pages make one
// read, what lies between them included.
void Backend::start_ahead(Arrival &arrival) {
    arrival.requests.clear();
    arrival.requests.reserve(arrival.items.size());
    arrival.bytes =
        arrival.spare.count != 0 ? memory_->shadow(arrival.spare.first) : arrival.frame->data();
    const bool memory = arrival.spare.count != 0 || arrival.frame->fill() == 0;
    for (std::size_t first = 0; memory && first < arrival.items.size();) {
        std::size_t end = first + 1;
        while (end < arrival.items.size()) {
            const LoadItem &a = arrival.items[end - 1], &b = arrival.items[end];
            const std::uint32_t apart = b.page.value - a.page.value;
            if (b.tier != a.tier || apart > kGapRead || b.slot.value != a.slot.value + apart)
                break;
            ++end;
        }
        const LoadItem &from = arrival.items[first];
        IoRequest request;
        request.offset = from.slot.byte_offset();
        request.parts.push_back(
            {arrival_bytes(arrival, from.page),
             bytes_of(arrival.items[end - 1].page.value - from.page.value + 1)});
        request.tag = reinterpret_cast<std::uint64_t>(&arrival);
        arrival.requests.push_back(std::move(request));
        for (std::size_t i = first; i < end; ++i)
            arrival.items[i].request = static_cast<std::uint16_t>(arrival.requests.size() - 1);
        first = end;
    }
    arrival.pending = arrival.requests.size();
    if (!memory) { // ENOMEM: as if it had never been asked for
        for (LoadItem &item : arrival.items)
            item.error = ENOMEM;
        settle_arrival(arrival);
        return;
    }
    for (IoRequest &request : arrival.requests) {
        IoRequest *const one = &request;
        ahead_queues_[tier_of_request(arrival, request)]->submit({&one, 1});
    }
}

std::byte *Backend::arrival_bytes(const Arrival &arrival, PageIndex page) {
    return arrival.bytes + bytes_of(page.value - arrival.region.first.value);
}

std::size_t Backend::tier_of_request(const Arrival &arrival, const IoRequest &request) {
    const auto number = static_cast<std::size_t>(&request - arrival.requests.data());
    const auto item = std::find_if(arrival.items.begin(), arrival.items.end(),
                                   [number](const LoadItem &i) { return i.request == number; });
    TIDEMARK_CHECK(item != arrival.items.end());
    return item->tier;
}

void Backend::finish_read(IoRequest &request) {
    Arrival &arrival = *reinterpret_cast<Arrival *>(request.tag);
    const bool good = request.result == static_cast<std::int64_t>(request.length());
    TierCounters &counters = tiers_[tier_of_request(arrival, request)]->counters();
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
    std::bitset<kRegionPages> zeros = arrival.pages;
    for (const LoadItem &item : arrival.items)
        zeros.reset(item.page.value - arrival.region.first.value);
    for (std::uint32_t i = 0; i < kRegionPages; ++i)
        if (zeros.test(i))
            std::memset(arrival.bytes + bytes_of(i), 0, kPageSize);
}

// All is in: the pages wait for their first access, or are mapped if that has come already.
void Backend::settle_arrival(Arrival &arrival) {
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
        arrival.metadata = arrival.items.capacity() * sizeof(LoadItem) +
                           arrival.requests.capacity() * (sizeof(IoRequest) + sizeof(iovec));
        arrival.since = Clock::now();
        for (std::uint32_t i = 0; i < arrival.region.count && !wanted; ++i)
            if (arrival.pages.test(i))
                finish(arrival.region.first.next(i), PageState::arrived, now);
    }
    if (wanted)
        land_arrival(arrival, nullptr);
}

Backend::Plan Backend::plan_landing(const Fault &fault) {
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
    // An access at random that happens to meet a region is no reason to read on.
    arrival->go_on = stream_window(fault.page, kStreamWindowMost) > 1;
    stream_served(fault.page, arrival->region.end());
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
        count_latency(*fault);
    MutexLock lock(mutex_);
    const std::uint16_t now = coarse_now();
    for (std::uint32_t i = 0; !whole && i < arrival.region.count; ++i) {
        if (!arrival.pages.test(i))
            continue;
        const PageIndex page = arrival.region.first.next(i);
        finish_resident(page, EnterReason::unasked, now);
        table_[page].clear(page_flags::unasked); // somebody came for it, or for its neighbour
    }
    if (whole)
        finish_region(arrival.region, EnterReason::unasked, now);
    const auto landed = static_cast<std::uint32_t>(arrival.pages.count());
    counters_.readahead_used += landed;
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

// What nobody came for goes back to its tier, which has it still; memory that nothing is read into any
// more goes back to the kernel.
void Backend::release_unused() {
    for (const auto &arrival : arrivals_) {
        {
            MutexLock lock(mutex_);
            const bool old = Clock::now() - arrival->since > kUnused;
            if (old && arrival->phase == Arrival::Phase::ready) {
                forget_arrival(*arrival);
                end_arrival(*arrival, 0, false);
                continue;
            }
            if (!old || arrival->phase != Arrival::Phase::idle || !arrival->frame_filled)
                continue;
            arrival->phase = Arrival::Phase::landing; // nobody else's meanwhile
        }
        arrival->frame->drop();
        MutexLock lock(mutex_);
        uncharge(kRegionPages);
        arrival->frame_filled = false;
        arrival->phase = Arrival::Phase::idle;
    }
}

void Backend::forget_arrival(const Arrival &arrival) {
    const std::uint16_t now = coarse_now();
    for (std::uint32_t i = 0; i < arrival.region.count; ++i) {
        const PageIndex page = arrival.region.first.next(i);
        if (table_[page].state == PageState::arrived)
            finish(page, table_[page].slot.valid() ? PageState::stored : PageState::zero, now);
    }
}

} // namespace tidemark
