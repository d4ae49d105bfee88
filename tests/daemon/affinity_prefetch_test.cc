// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_prefetch.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

using namespace tidemark::daemon;

namespace {

constexpr std::uint64_t kCell = 8 << 20;
constexpr float kPages = kCell / 4096;
constexpr double kPoll = 10;

// Feeds a series as a profiler would: heat that decays, and what is used on top.
struct Watched {
    HeatSeries series;
    std::vector<float> heat = std::vector<float>(64, 0);
    double at = 0;

    // share: of each cell's pages.
    void use(const std::vector<std::size_t> &cells, float share = 1) {
        at += kPoll;
        for (float &one : heat) {
            one = static_cast<float>(one * std::exp2(-kPoll / 60));
        }
        for (const std::size_t cell : cells) {
            heat[cell] += share * kPages;
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
    CHECK(guest.series.samples().back().share_used(5) < 0.01);
    guest.rest(3);
    guest.use({5});
    CHECK(guest.series.samples().back().newly == CellSet().set(5));
}

TEST_CASE("a series knows how much of a cell was used, whatever is still hot there") {
    Watched guest;
    const auto used = [&](std::size_t cell) {
        return guest.series.samples().back().share_used(cell);
    };
    guest.use({5}, 0.5F);
    CHECK(used(5) == Catch::Approx(0.5).margin(0.005));
    CHECK(used(6) == 0);
    guest.use({5}, 0.02F);
    CHECK(used(5) == Catch::Approx(0.02).margin(0.005));
    guest.use({5}, 3); // pages used over and over
    CHECK(used(5) == 1);
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

TEST_CASE("what a peer used a few pages of is not ordered as a whole") {
    // Followed four times out of four; what it was worth each time, in one poll and the next.
    const auto orders_for = [&](float share, float then) {
        Watched first, second;
        for (int i = 0; i < 4; ++i) {
            first.use({1});
            first.use({2}, share);
            first.use({2}, then);
            first.rest(5);
        }
        second.rest(20);
        second.use({1});
        const AffinityPeer peers[] = {{&first.series, 0.95}};
        return AffinityPrefetch().after_sample(second.series, peers, {.window = 2.5 * kPoll});
    };
    for (const float share : {0.011F, 0.02F, 0.1F, 0.3F}) {
        CAPTURE(share);
        CHECK(orders_for(share, 0).empty());
    }
    const auto half = orders_for(0.6F, 0);
    REQUIRE(half.size() == 1);
    CHECK_FALSE(half[0].to_dram);
    const auto whole = orders_for(1, 0);
    REQUIRE(whole.size() == 1);
    CHECK(whole[0].to_dram);
    CHECK(half[0].confidence == Catch::Approx(0.6 * whole[0].confidence).epsilon(0.02));
    // What it went on to use before the window was over counts, too.
    const auto later = orders_for(0.5F, 0.5F);
    REQUIRE(later.size() == 1);
    CHECK(later[0].confidence == Catch::Approx(whole[0].confidence).epsilon(0.02));
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
