// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/access_log.h"
#include "engine/prefetch_queue.h"
#include "sys/host_pressure.h"

#include <array>
#include <catch2/catch_test_macros.hpp>

namespace tidemark {
namespace {

using Time = PrefetchTerms::Time;

PrefetchTerms with_confidence(float confidence) {
    PrefetchTerms terms;
    terms.confidence = confidence;
    return terms;
}

std::optional<std::uint64_t> push(PrefetchQueue &queue, std::uint32_t first, std::uint32_t count,
                                  const PrefetchTerms &terms = {}) {
    const PageRun run{PageIndex{first}, count};
    return queue.push(PrefetchQueue::order({&run, 1}, terms));
}

// Serves all there is; the pages in their order.
std::vector<std::uint32_t> drain(PrefetchQueue &queue) {
    std::vector<std::uint32_t> pages;
    while (PrefetchQueue::Order *order = queue.next(Time{})) {
        const std::uint64_t ticket = order->ticket;
        for (bool more = true; more;) {
            REQUIRE(order->ticket == ticket);
            pages.push_back(order->front().value);
            more = queue.served(*order);
        }
    }
    return pages;
}

TEST_CASE("the most confident order comes first, and of equals the oldest") {
    PrefetchQueue queue;
    REQUIRE(push(queue, 10, 2, with_confidence(0.5F)));
    REQUIRE(push(queue, 20, 2, with_confidence(0.9F)));
    REQUIRE(push(queue, 30, 1, with_confidence(0.9F)));
    CHECK(queue.pages() == 5);
    CHECK(drain(queue) == std::vector<std::uint32_t>{20, 21, 30, 10, 11});
    CHECK(queue.empty());
    CHECK(queue.bytes() == 0);
}

TEST_CASE("an order loses nothing with another one that has the same pages") {
    const std::vector<std::uint32_t> pages{10, 11, 12, 13};
    PrefetchTerms unsure = with_confidence(0.4F);
    unsure.origin = Origin::network;
    unsure.until = Time{} + std::chrono::seconds(5);
    const Time late = Time{} + std::chrono::seconds(6);
    PrefetchQueue queue;

    SECTION("which comes too late") {
        unsure.confidence = 1;
        REQUIRE(push(queue, 10, 4, unsure));
        REQUIRE(push(queue, 10, 4));
        REQUIRE(queue.next(late) != nullptr);
        CHECK(queue.take_dropped() == 4);
        CHECK(drain(queue) == pages);
    }
    SECTION("which is cancelled") {
        const auto other = push(queue, 8, 4);
        REQUIRE(push(queue, 10, 4));
        CHECK(queue.cancel(*other) == 4);
        CHECK(queue.pages() == 4);
        CHECK(drain(queue) == pages);
    }
    SECTION("which goes to NVMe only, or is dropped") {
        REQUIRE(push(queue, 10, 4, unsure));
        PrefetchQueue::Order *const first = queue.next(Time{});
        first->terms.to_dram = false;
        REQUIRE(push(queue, 10, 4));
        PrefetchQueue::Order *const now = queue.next(Time{});
        CHECK(now != first);
        CHECK(now->terms.to_dram);
        queue.drop(*first);
        CHECK(drain(queue) == pages);
    }
}

TEST_CASE("the stronger of two orders for the same pages is served first") {
    PrefetchQueue queue;
    PrefetchTerms nvme, sooner;
    nvme.to_dram = false;
    sooner.until = Time{} + std::chrono::seconds(5);
    const auto weak = push(queue, 10, 4, with_confidence(0.4F));
    const auto promoted = push(queue, 10, 4, nvme);
    const auto short_lived = push(queue, 10, 4, sooner);
    const auto lasting = push(queue, 10, 4);
    std::vector<std::uint64_t> tickets;
    while (PrefetchQueue::Order *order = queue.next(Time{})) {
        tickets.push_back(order->ticket);
        queue.drop(*order);
    }
    CHECK(tickets == std::vector<std::uint64_t>{*short_lived, *lasting, *promoted, *weak});
    // The deadline of one is not the other's.
    REQUIRE(push(queue, 10, 4, sooner));
    const auto stays = push(queue, 10, 4);
    CHECK(queue.next(Time{} + std::chrono::seconds(6))->ticket == *stays);
}

TEST_CASE("neighbours are joined, and an order of nothing is done at once") {
    PrefetchQueue queue;
    const std::array<PageRun, 4> runs{PageRun{PageIndex{5}, 2}, PageRun{PageIndex{7}, 0},
                                      PageRun{PageIndex{7}, 3}, PageRun{PageIndex{2}, 1}};
    const auto ticket = queue.push(PrefetchQueue::order(runs, {}));
    REQUIRE(ticket);
    CHECK(queue.pages() == 6);
    CHECK(queue.next(Time{})->runs.size() == 2);
    CHECK(drain(queue) == std::vector<std::uint32_t>{5, 6, 7, 8, 9, 2});
    CHECK(push(queue, 3, 0));
    CHECK(queue.empty());
    CHECK(queue.next(Time{}) == nullptr);
}

TEST_CASE("what an order costs is the pieces it has, not the pages") {
    PrefetchQueue queue;
    REQUIRE(push(queue, 0, static_cast<std::uint32_t>(PrefetchQueue::kPagesMost)));
    CHECK(queue.bytes() < 1024);
    const std::uint32_t pieces = 1000;
    std::vector<PageRun> runs;
    for (std::uint32_t i = 0; i < pieces; ++i)
        runs.push_back({PageIndex{i * 2}, 1});
    CHECK_FALSE(queue.push(PrefetchQueue::order(runs, {})));
    CHECK(queue.cancel(0) == PrefetchQueue::kPagesMost);
    REQUIRE(queue.push(PrefetchQueue::order(runs, {})));
    CHECK(queue.bytes() < pieces * 8 + 1024);
    drain(queue);
    CHECK(queue.bytes() == 0);
}

TEST_CASE("what comes too late is dropped and counted; what is cancelled is not") {
    PrefetchQueue queue;
    PrefetchTerms soon;
    soon.until = Time{} + std::chrono::seconds(5);
    REQUIRE(push(queue, 0, 10, soon));
    const auto other = push(queue, 50, 10);
    REQUIRE(other);
    const PrefetchQueue::Order *order = queue.next(Time{} + std::chrono::seconds(6));
    REQUIRE(order != nullptr);
    CHECK(order->front() == PageIndex{50});
    CHECK(queue.take_dropped() == 10);
    CHECK(queue.take_dropped() == 0);
    CHECK(queue.cancel(*other + 1) == 0);
    CHECK(queue.cancel(*other) == 10);
    CHECK(queue.empty());
    CHECK(queue.take_dropped() == 0);
    REQUIRE(push(queue, 1, 3));
    REQUIRE(push(queue, 7, 3));
    CHECK(queue.cancel(0) == 6);
}

TEST_CASE("too much is refused as a whole") {
    const auto most = static_cast<std::uint32_t>(PrefetchQueue::kPagesMost);
    PrefetchQueue queue;
    const std::array<PageRun, 2> runs{PageRun{PageIndex{0}, most - 1}, PageRun{PageIndex{most}, 2}};
    CHECK_FALSE(queue.push(PrefetchQueue::order(runs, {})));
    CHECK(queue.pages() == 0);
    CHECK(push(queue, 0, most));
    CHECK_FALSE(push(queue, most, 1));
}

TEST_CASE("what is unsure is watched, and a sample of what predictors are sure of") {
    PrefetchTerms sure;
    CHECK_FALSE(is_watched(PageIndex{5}, sure));
    sure.origin = Origin::phases;
    std::uint32_t watched = 0;
    for (std::uint32_t page = 0; page < 65536; ++page)
        watched += is_watched(PageIndex{page}, sure) ? 1u : 0u;
    CHECK(watched > 65536 / 16 * 9 / 10);
    CHECK(watched < 65536 / 16 * 11 / 10);
    CHECK(is_watched(PageIndex{5}, with_confidence(0.3F)));
}

TEST_CASE("the log joins neighbours, and loses what does not fit") {
    AccessLog log(0);
    Access access{PageIndex{7}, 1, AccessKind::stored, Origin::guest, false, 10};
    log.note(access);
    access.first = PageIndex{8};
    log.note(access);
    access.first = PageIndex{9};
    access.write = true;
    log.note(access);
    std::vector<Access> out;
    CHECK(log.take(out) == 0);
    REQUIRE(out.size() == 2);
    CHECK(out[0].count == 2);
    CHECK_FALSE(log.half_full());
    for (std::uint32_t page = 0; page < 3000; page += 2)
        log.note({PageIndex{page}, 1, AccessKind::stored, Origin::guest, false, 10});
    CHECK(log.half_full());
    const std::uint64_t lost = log.take(out);
    CHECK(lost == 1500 - out.size());
    CHECK(lost > 0);
    CHECK(log.take(out) == 0);
    CHECK(out.empty());
}

TEST_CASE("pressure stall information is read as the kernel writes it") {
    CHECK(some_avg10("some avg10=12.50 avg60=0.16 avg300=0.06 total=54290\nfull avg10=0.00") ==
          0.125);
    CHECK(some_avg10("") == 0);
    CHECK(host_io_pressure() >= 0);
}

} // namespace
} // namespace tidemark
