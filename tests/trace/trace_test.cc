// SPDX-License-Identifier: GPL-2.0-or-later
//
// The replay tool against slower ways to the same numbers, and its file against damage.
#include "contestants.h"
#include "exact.h"
#include "synthetic.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <list>
#include <random>
#include <set>
#include <vector>

using namespace tidemark;
using namespace tidemark::trace;
using Catch::Matchers::ContainsSubstring;

namespace {

std::vector<std::uint32_t> random_pages(std::uint32_t seed, std::uint32_t pages,
                                        std::size_t count) {
    std::mt19937 random(seed);
    std::vector<std::uint32_t> order(count);
    for (std::uint32_t &page : order)
        page = static_cast<std::uint32_t>(random() % pages);
    return order;
}

// Every way to choose victims, and the least refaults of all.
std::uint64_t brute_force(std::span<const std::uint32_t> left, const std::set<std::uint32_t> &dram,
                          const std::set<std::uint32_t> &seen, std::size_t room) {
    if (left.empty())
        return 0;
    const std::uint32_t page = left.front();
    const auto rest = left.subspan(1);
    if (dram.contains(page))
        return brute_force(rest, dram, seen, room);
    auto seen_now = seen, with = dram;
    seen_now.insert(page);
    with.insert(page);
    const std::uint64_t refault = seen.contains(page) ? 1 : 0;
    if (with.size() <= room)
        return refault + brute_force(rest, with, seen_now, room);
    std::uint64_t least = UINT64_MAX;
    for (const std::uint32_t victim : dram) {
        auto without = with;
        without.erase(victim);
        least = std::min(least, brute_force(rest, without, seen_now, room));
    }
    return refault + least;
}

std::uint64_t naive_lru(std::span<const std::uint32_t> order, std::size_t room) {
    std::list<std::uint32_t> stack;
    std::set<std::uint32_t> seen;
    std::uint64_t refaults = 0;
    for (const std::uint32_t page : order) {
        const auto at = std::find(stack.begin(), stack.end(), page);
        if (at != stack.end())
            stack.erase(at);
        else if (!seen.insert(page).second)
            ++refaults;
        stack.push_front(page);
        if (stack.size() > room)
            stack.pop_back();
    }
    return refaults;
}

PageTrace some_trace() {
    PageTrace trace;
    trace.name = "some";
    trace.pages = 1u << 20;
    trace.window_instructions = 1000;
    std::mt19937 random(7);
    for (std::uint32_t i = 0; i < 5000; ++i) {
        trace.accesses.push_back(
            {static_cast<std::uint32_t>(random() % trace.pages), random() % 2 == 0});
        if (i % 7 == 6)
            trace.window_ends.push_back(i + 1);
    }
    trace.accesses.push_back({trace.pages - 1, true});
    trace.accesses.push_back({0, false});
    trace.window_ends.push_back(static_cast<std::uint32_t>(trace.accesses.size()));
    trace.window_ends.push_back(trace.window_ends.back()); // a window without accesses
    return trace;
}

// A refusal is a sentence that says what is wrong.
void check_refused(std::span<const std::byte> bytes, const std::string &words) {
    const auto got = decode(bytes);
    REQUIRE(!got);
    CHECK_THAT(got.error().sentence, ContainsSubstring(words));
}

} // namespace

TEST_CASE("no choice of victims has fewer refaults than Belady's") {
    const auto seed = GENERATE(range(0u, 40u));
    const auto order = random_pages(seed, 5, 12);
    for (std::uint32_t room = 1; room <= 5; ++room)
        CHECK(Belady(order).refaults(room) == brute_force(order, {}, {}, room));
}

TEST_CASE("the LRU curve is what a list of pages gives") {
    const auto seed = GENERATE(range(0u, 10u));
    const auto order = random_pages(seed, 40, 2000);
    const LruCurve curve(order);
    for (std::uint32_t room = 1; room <= 45; ++room)
        CHECK(curve.refaults(room) == naive_lru(order, room));
}

TEST_CASE("nobody has fewer refaults than Belady's, and all of the footprint needs none") {
    const auto order = random_pages(3, 60, 5000);
    const std::uint32_t pages = footprint(order);
    CHECK(pages == 60);
    for (const std::uint32_t room : {3u, 10u, 30u, 59u}) {
        const std::uint64_t least = Belady(order).refaults(room);
        CHECK(least > 0);
        CHECK(LruCurve(order).refaults(room) >= least);
        CHECK(fifo_refaults(order, room) >= least);
        CHECK(lfu_refaults(order, room, 100) >= least);
        CHECK(static_refaults(order, room) >= least);
    }
    CHECK(Belady(order).refaults(pages) == 0);
    CHECK(LruCurve(order).refaults(pages) == 0);
    CHECK(fifo_refaults(order, pages) == 0);
    CHECK(lfu_refaults(order, pages, 100) == 0);
}

TEST_CASE("LFU keeps what is used often through a scan, and forgets what was") {
    std::vector<std::uint32_t> order;
    for (std::uint32_t round = 0; round < 20; ++round)
        for (const std::uint32_t page : {0u, 1u, 2u})
            order.push_back(page);
    for (std::uint32_t page = 3; page < 23; ++page)
        order.push_back(page);
    for (const std::uint32_t page : {0u, 1u, 2u})
        order.push_back(page);
    CHECK(lfu_refaults(order, 4, 1000) == 0);
    CHECK(LruCurve(order).refaults(4) == 3);
    // With a short memory it is LRU.
    CHECK(lfu_refaults(order, 4, 0.1) == 3);
}

TEST_CASE("the least DRAM is found") {
    const auto needs = [](std::uint32_t dram) { return dram >= 37 ? 5u : 6u; };
    CHECK(least_dram(100, 5, needs) == 37);
    CHECK(least_dram(30, 5, needs) == 30);
    CHECK(least_dram(100, 6, needs) == 1);
    const std::uint32_t rough = least_dram(100, 5, needs, 10);
    CHECK(rough >= 37);
    CHECK(rough < 47);
}

TEST_CASE("a trace is read back as it was written") {
    const PageTrace trace = some_trace();
    const auto bytes = encode(trace);
    const auto got = decode(bytes);
    REQUIRE(got);
    CHECK(*got == trace);
}

TEST_CASE("a damaged trace is refused with a sentence") {
    const auto whole = encode(some_trace());
    for (std::size_t length = 0; length < whole.size(); length += 37)
        check_refused(std::span(whole).first(length),
                      length < 80 ? "within its header" : "and should have");
    for (std::size_t at = 0; at < whole.size(); at += at < 100 ? 1 : 53) {
        auto flipped = whole;
        flipped[at] ^= std::byte{4};
        check_refused(flipped, at < 8 ? "does not begin" : at < 12 ? "version" : "");
    }
    auto longer = whole;
    longer.push_back(std::byte{0});
    check_refused(longer, "and should have");
}

TEST_CASE("a recording is taken over, and one that is cut short refused") {
    const std::vector<std::uint32_t> words{0x57524d54, 100,        1000, 0,   14,
                                           7,          0xffffffff, 6,    199, 0xffffffff};
    std::vector<std::byte> bytes;
    for (const std::uint32_t word : words)
        for (unsigned shift = 0; shift < 32; shift += 8)
            bytes.push_back(static_cast<std::byte>(word >> shift));
    const auto trace = decode_raw(bytes, "x");
    REQUIRE(trace);
    CHECK(trace->pages == 100);
    CHECK(trace->window_instructions == 1000);
    CHECK(trace->accesses ==
          std::vector<TraceAccess>{{7, false}, {3, true}, {3, false}, {99, true}});
    CHECK(trace->window_ends == std::vector<std::uint32_t>{2, 4});
    CHECK(!decode_raw(std::span(bytes).first(bytes.size() - 4), "x"));
    CHECK(!decode_raw(std::span(bytes).first(bytes.size() - 1), "x"));
    CHECK(!decode_raw(bytes, ""));
    bytes[16] = std::byte{201}; // page 100 of 100
    CHECK(!decode_raw(bytes, "x"));
}
