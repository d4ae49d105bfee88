// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_prefetch.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

using namespace tidemark::daemon;

namespace {

constexpr std::uint64_t kCell = 8 << 20;
constexpr double kPoll = 10;

// Feeds a series as a profiler would: heat that decays, and what is used on top.
struct Watched {
    HeatSeries series;
    std::vector<float> heat = std::vector<float>(64, 0);
    double at = 0;

    void use(std::vector<std::size_t> cells) {
        at += kPoll;
        for (float &one : heat) {
            one = static_cast<float>(one * std::exp2(-kPoll / 60));
        }
        for (const std::size_t cell : cells) {
            heat[cell] += 500;
        }
        series.add(at, kCell, heat);
    }
    void rest(int polls) {
        while (polls-- > 0) {
            use({});
        }
    }
    // Uses 1, then 2 and 3, and rests.
    void job() {
        use({1});
        use({2, 3});
        rest(5);
    }
};

} // namespace

TEST_CASE("a series knows what is active, and what is newly so") {
    Watched guest;
    guest.use({5});
    CHECK(guest.series.samples().back().newly == CellSet().set(5));
    guest.use({5, 6});
    CHECK(guest.series.samples().back().active == CellSet().set(5).set(6));
    CHECK(guest.series.samples().back().newly == CellSet().set(6));
    guest.rest(2);
    CHECK(guest.series.samples().back().active.none()); // it is still hot, but not used
    CHECK(guest.series.density(5) > 0.2);
    CHECK(guest.series.density(7) == 0);
    guest.rest(3);
    guest.use({5});
    CHECK(guest.series.samples().back().newly == CellSet().set(5));
}

TEST_CASE("a series is bounded and takes what comes") {
    HeatSeries series;
    for (int i = 0; i < 1000; ++i) {
        series.add(i, kCell, std::vector<float>(64, 1000));
    }
    CHECK(series.samples().size() == HeatSeries::kSamples);
    series.add(5, kCell, std::vector<float>(64, 9000)); // the past
    CHECK(series.samples().back().at == 999);
    series.add(1000, kCell, {});
    CHECK(series.samples().back().at == 999);
    const float bad = std::numeric_limits<float>::infinity();
    series.add(1001, kCell, std::vector<float>(1000, bad)); // more cells: joined, and a new series
    CHECK(series.cells() == 250);
    CHECK(series.cell_bytes() == 4 * kCell);
    CHECK(series.samples().size() == 1);
    CHECK(series.samples().back().active.none());
}

TEST_CASE("what a similar guest used next is ordered, as sure as it was seen often") {
    Watched first, second;
    AffinityPrefetch prefetch;
    const AffinityOptions options{.window = 2 * kPoll};
    const auto ask = [&](double score) {
        const AffinityPeer peers[] = {{&first.series, score}};
        return prefetch.after_sample(second.series, peers, options);
    };
    first.job();
    second.rest(8);
    second.use({1});
    SECTION("seen once: to NVMe") {
        const auto orders = ask(0.95);
        REQUIRE(orders.size() == 1);
        CHECK(!orders[0].to_dram);
        REQUIRE(orders[0].cells.size() == 1);
        CHECK(orders[0].cells[0].first == 2);
        CHECK(orders[0].cells[0].count == 2);
        CHECK(orders[0].confidence == Catch::Approx(0.95 * 0.75 * 0.8).epsilon(0.05));
        CHECK(ask(0.95).empty()); // it is ordered already
    }
    SECTION("seen four times: to DRAM") {
        for (int i = 0; i < 3; ++i) {
            first.job();
        }
        const auto orders = ask(0.95);
        REQUIRE(orders.size() == 1);
        CHECK(orders[0].to_dram);
        CHECK(orders[0].confidence > 0.6);
        CHECK(orders[0].confidence < 0.75);
    }
    SECTION("a guest that is not similar enough tells nothing") {
        CHECK(ask(0.59).empty());
    }
    SECTION("what was asked for before, but otherwise, tells nothing") {
        second.rest(5);
        second.use({20, 21, 1}); // a third of it
        CHECK(ask(0.95).empty());
    }
    SECTION("what is in use already is not ordered") {
        second.use({2});
        second.rest(5);
        second.use({1, 2});
        const auto orders = ask(1);
        REQUIRE(orders.size() == 1);
        CHECK(orders[0].cells[0].first == 3);
        CHECK(orders[0].cells[0].count == 1);
    }
    SECTION("long ago counts less") {
        first.rest(250);
        second.rest(200);
        second.use({1});
        CHECK(ask(1).empty());
    }
}

TEST_CASE("orders stay below what may be brought in at once") {
    Watched first, second;
    first.use({1});
    first.use({10, 11, 12, 13, 14, 15, 16, 17});
    second.rest(3);
    second.use({1});
    AffinityPrefetch prefetch;
    const AffinityPeer peers[] = {{&first.series, 1}};
    const auto orders = prefetch.after_sample(second.series, peers,
                                              {.window = 2 * kPoll, .most_bytes = 3 * kCell + 1});
    REQUIRE(orders.size() == 1);
    CHECK(orders[0].cells[0].count == 3);
}

TEST_CASE("a guest for which it does not come true is left alone, one for which it does is not") {
    for (const bool follows : {false, true}) {
        Watched first, second;
        AffinityPrefetch prefetch;
        int orders = 0, late_orders = 0;
        for (int i = 0; i < 40; ++i) {
            first.job();
            second.use({1});
            const AffinityPeer peers[] = {{&first.series, 0.9}};
            const AffinityOptions options{.window = 2 * kPoll};
            const auto count = prefetch.after_sample(second.series, peers, options).size();
            orders += static_cast<int>(count);
            late_orders += i >= 20 ? static_cast<int>(count) : 0;
            for (int poll = 0; poll < 6; ++poll) {
                second.use(poll == 0 && follows ? std::vector<std::size_t>{2, 3}
                                                : std::vector<std::size_t>{});
                CHECK(prefetch.after_sample(second.series, peers, options).size() <= 1);
            }
        }
        CAPTURE(follows, orders, late_orders, prefetch.right(), prefetch.wrong());
        CHECK((follows ? late_orders >= 18 : late_orders <= 4));
        CHECK(orders > 0);
        CHECK((prefetch.precision() > 0.9) == follows);
    }
}

TEST_CASE("what a guest of other cells did is of no use") {
    Watched first, second;
    first.job();
    second.use({1});
    HeatSeries other;
    other.add(0, 2 * kCell, std::vector<float>(32, 0));
    AffinityPrefetch prefetch;
    const AffinityPeer peers[] = {{&other, 1}, {&second.series, 1}};
    CHECK(prefetch.after_sample(second.series, peers, {}).empty());
}
