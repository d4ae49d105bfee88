// SPDX-License-Identifier: GPL-2.0-or-later
//
// An order that comes again is recognised; one that does not costs no reads.
#include "engine/successors.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <numeric>
#include <random>
#include <set>

using namespace tidemark;

namespace {

constexpr std::uint32_t kPages = 4096;

std::vector<std::uint32_t> shuffled(unsigned seed, std::uint32_t count = kPages) {
    std::vector<std::uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    return order;
}

// Guests whose pages are all on disk at the start of each pass; what is foretold raises no fault.
struct Pass {
    std::uint32_t faults = 0, foretold = 0, used = 0;
};

Pass walk(Successors &successors, const std::vector<std::uint32_t> &order,
          std::int32_t thread = 1) {
    Pass pass;
    std::set<std::uint32_t> there;
    for (const std::uint32_t page : order) {
        if (there.erase(page) != 0) {
            ++pass.used;
            continue;
        }
        ++pass.faults;
        std::vector<PageIndex> expected;
        successors.look(PageIndex{page}, thread, 32, expected);
        successors.served(PageIndex{page}, thread, expected);
        pass.foretold += static_cast<std::uint32_t>(expected.size());
        for (const PageIndex ahead : expected)
            there.insert(ahead.value);
    }
    return pass;
}

} // namespace

TEST_CASE("the second pass in the same order hardly faults") {
    Successors successors(kPages);
    const auto order = shuffled(1);
    const Pass first = walk(successors, order);
    CHECK(first.faults == kPages);
    CHECK(first.foretold == 0);
    for (int again = 0; again < 3; ++again) {
        const Pass next = walk(successors, order);
        CHECK(next.faults < kPages / 16);
        CHECK(next.used * 100 >= next.foretold * 95);
    }
}

TEST_CASE("another order each time is never foretold") {
    Successors successors(kPages);
    for (unsigned seed = 1; seed < 8; ++seed) {
        const Pass pass = walk(successors, shuffled(seed));
        CHECK(pass.foretold < kPages / 50);
    }
}

TEST_CASE("independent accesses at random, even, and with hot pages") {
    Successors successors(kPages);
    std::mt19937 random(5);
    std::vector<std::uint32_t> even, skewed;
    for (int i = 0; i < 40000; ++i) {
        even.push_back(static_cast<std::uint32_t>(random()) % kPages);
        const double unit = std::generate_canonical<double, 32>(random);
        skewed.push_back(static_cast<std::uint32_t>(unit * unit * unit * (kPages - 1)));
    }
    CHECK(walk(successors, even).foretold < 400);
    CHECK(walk(successors, skewed).foretold < 2000);
}

TEST_CASE("threads have orders of their own") {
    Successors successors(kPages);
    const auto order = shuffled(2);
    for (int pass = 0; pass < 2; ++pass) {
        std::uint32_t foretold = 0;
        // Two threads, in turn, one through the first half of the order and one through the second.
        for (std::size_t i = 0; i < kPages / 2; ++i)
            for (const std::int32_t thread : {1, 2}) {
                std::vector<PageIndex> expected;
                const PageIndex page{order[i + (thread == 2 ? kPages / 2 : 0)]};
                successors.look(page, thread, 1, expected);
                successors.served(page, thread, {});
                foretold += static_cast<std::uint32_t>(expected.size());
            }
        CHECK((pass == 0 ? foretold == 0 : foretold > kPages * 9 / 10));
    }
}

TEST_CASE("a changed order is learnt anew") {
    Successors successors(kPages);
    walk(successors, shuffled(3));
    walk(successors, shuffled(3));
    const auto other = shuffled(4);
    walk(successors, other);
    CHECK(walk(successors, other).faults < kPages / 4);
    CHECK(walk(successors, other).faults < kPages / 16);
}
