// SPDX-License-Identifier: GPL-2.0-or-later
//
// Instructions to bring pages in before anyone asks for them: from the predictors, an operator, the daemon.
//
//    push() --> by confidence, then by age --> next() ... served()   the mover reads them (prefetch.cc)
//                    |                           +--> drop()         not worth it
//                    +--cancel(), too late-------------> gone
//
// Bounded in pages and in pieces. Each order has all the pages it names, whoever else names them too: another order
// may be cancelled, be too late or get no further than NVMe, and they are not lost with it. Such pages are read once all
// the same: the surer order comes first, and the other finds them in DRAM.
//
// Whoever has the queue has a lock that faults wait for, so nothing in here walks over pages. Not thread-safe.
#pragma once

#include "base/units.h"
#include "engine/access.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <span>
#include <vector>

namespace tidemark {

struct PrefetchTerms {
    using Time = std::chrono::steady_clock::time_point;
    bool to_dram = true; // else from QLC up to NVMe
    Origin origin = Origin::request;
    float confidence = 1;     // the share of the pages that will be used
    Time until = Time::max(); // of no use after that
};

class PrefetchQueue {
  public:
    static constexpr std::uint64_t kPagesMost = 1u << 22; // 16 GiB asked for and not yet done
    static constexpr std::size_t kPiecesMost = 1u << 20;
    // An order is served for so many pages at most, before others get at the lock.
    static constexpr std::uint32_t kStepsMost = 16384;
    // From here on pages are mapped when they come in: nothing is seen of their use, and nothing is paid for
    // it. Below, and a few of the predictors' (is_watched()), wait in S, where a use costs a fault without I/O.
    static constexpr float kMapped = 0.5F;

    struct Order {
        std::uint64_t ticket = 0;
        PrefetchTerms terms;
        std::deque<PageRun> runs;  // what is left of it,
        std::uint64_t pages = 0;   // so many
        std::uint64_t brought = 0; // pages read for it
        PageIndex front() const { return runs.front().first; }
    };

    // For push(): what takes long if there are many runs, and needs no lock.
    static Order order(std::span<const PageRun> runs, const PrefetchTerms &terms);
    // All or nothing; nullopt: too much is queued, and the order is as it was. The ticket is never 0.
    std::optional<std::uint64_t> push(Order &&order);
    // The order to serve now; those that come too late are dropped. nullptr: none.
    Order *next(PrefetchTerms::Time now);
    // The first page of next()'s order is done with. False: it was the last one, and the order is gone.
    bool served(Order &order);
    void drop(Order &order);
    // 0: all. Returns how many pages will not be brought.
    std::uint64_t cancel(std::uint64_t ticket);

    bool empty() const { return orders_.empty(); }
    std::uint64_t pages() const { return queued_; }
    std::uint64_t take_dropped(); // pages too late or dropped since the last call
    std::uint64_t bytes() const;

  private:
    void forget(const Order &order);

    std::list<Order> orders_; // most confident first
    std::uint64_t queued_ = 0;
    std::uint64_t dropped_ = 0;
    std::uint64_t tickets_ = 0;
    std::size_t pieces_ = 0;
};

// One in 16 of what the predictors have mapped, in pieces of 16 pages: the sample that shows whether it is used.
bool is_watched(PageIndex page, const PrefetchTerms &terms);

} // namespace tidemark
