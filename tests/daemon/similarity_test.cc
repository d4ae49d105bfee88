// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/similarity.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <set>

using namespace tidemark::daemon;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

GuestTraits traits(std::vector<float> heat) {
    GuestTraits guest;
    guest.group = "11111111-1111-1111-1111-111111111111";
    guest.cell_bytes = 8 * kMiB;
    guest.memory = heat.size() * guest.cell_bytes;
    guest.heat = std::move(heat);
    return guest;
}

// The sketch a guest would have whose pages are these numbers, hashed.
ContentSketch sketch(const std::set<std::uint64_t> &pages) {
    std::vector<std::uint64_t> values;
    for (const std::uint64_t page : pages) {
        values.push_back(std::mt19937_64(page)());
    }
    std::sort(values.begin(), values.end());
    return ContentSketch::of(std::move(values), pages.size());
}

std::set<std::uint64_t> numbers(std::uint64_t from, std::uint64_t to) {
    std::set<std::uint64_t> all;
    while (from < to) {
        all.insert(from++);
    }
    return all;
}

} // namespace

TEST_CASE("guests of different groups, or of none, are not compared") {
    const auto a = traits({1, 2, 3});
    auto b = a;
    CHECK(compare(a, b).score == Catch::Approx(1));
    b.group = "22222222-2222-2222-2222-222222222222";
    b.sketch = sketch(numbers(0, 10));
    CHECK(!compare(a, b).comparable);
    CHECK(compare(a, b).score == 0);
    CHECK(!compare(a, b).heat);
    auto c = a, d = a;
    c.group = d.group = "";
    CHECK(!compare(c, d).comparable);
}

TEST_CASE("heat is compared at equal addresses") {
    const auto a = traits({9, 9, 0, 0, 0, 0, 0, 0});
    CHECK(*heat_cosine(a, traits({0, 0, 9, 9, 0, 0, 0, 0})) == 0);
    CHECK(*heat_cosine(a, traits({90, 90, 0, 0, 0, 0, 0, 0})) == Catch::Approx(1));
    CHECK(*heat_cosine(a, traits({9, 0, 9, 0, 0, 0, 0, 0})) == Catch::Approx(0.5));
    SECTION("a larger guest, with larger cells") {
        auto larger = traits({18, 0, 0, 0, 0, 0, 0, 0});
        larger.cell_bytes = 16 * kMiB;
        CHECK(*heat_cosine(a, larger) == Catch::Approx(1));
        CHECK(*heat_cosine(larger, a) == Catch::Approx(1));
    }
    SECTION("cells that do not fit into each other") {
        auto odd = traits({9, 9, 9});
        odd.cell_bytes = 12 * kMiB;
        const double found = *heat_cosine(a, odd);
        CHECK(found > 0.6);
        CHECK(found < 0.9);
    }
    SECTION("nothing known") {
        CHECK(!heat_cosine(a, traits({0, 0, 0})));
        CHECK(!heat_cosine(a, traits({})));
        const float bad = std::numeric_limits<float>::quiet_NaN();
        CHECK(*heat_cosine(a, traits({9, 9, bad, -3})) == Catch::Approx(1));
    }
}

TEST_CASE("the resemblance of sketches is that of the sets, within its error") {
    for (const std::uint64_t shared : {0U, 1000U, 5000U, 9000U, 10000U}) {
        const auto a = numbers(0, 10000), b = numbers(10000 - shared, 20000 - shared);
        const double real = double(shared) / (20000 - double(shared));
        const double error = std::sqrt(real * (1 - real) / 256);
        const double found = *resemblance(sketch(a), sketch(b));
        CAPTURE(shared, real, found);
        CHECK(std::abs(found - real) <= 3.5 * error);
    }
}

TEST_CASE("sketches of different and of small sets") {
    CHECK(*resemblance(sketch(numbers(0, 100)), sketch(numbers(50, 100))) == 0.5);
    CHECK(*resemblance(sketch(numbers(0, 5)), sketch(numbers(5, 10))) == 0);
    CHECK(!resemblance(sketch({}), sketch(numbers(0, 5))));
    // A hundredth of the larger one.
    CHECK(*resemblance(sketch(numbers(0, 20000)), sketch(numbers(0, 200))) < 0.05);
    CHECK(ContentSketch::of({3, 2, 1}, 3).values.empty());
    CHECK(ContentSketch::of({1, 1}, 2).values.empty());
    CHECK(ContentSketch::of(std::vector<std::uint64_t>{1, 2}, 2).values.size() == 2);
}

TEST_CASE("the score is the weighted mean of what is known of both") {
    auto a = traits({9, 9, 0, 0}), b = traits({9, 0, 9, 0});
    CHECK(compare(a, b).score == Catch::Approx(0.5));
    a.sketch = b.sketch = sketch(numbers(0, 1000));
    CHECK(compare(a, b).score == Catch::Approx((0.45 * 0.5 + 0.35) / 0.8));
    a.workload = "web";
    a.workload_confidence = 0.8;
    CHECK(!compare(a, b).workload); // not known of the other
    b.workload = "database";
    b.workload_confidence = 0.5;
    CHECK(compare(a, b).score == Catch::Approx((0.45 * 0.5 + 0.35) / 0.85));
    a.phases = b.phases = 3;
    a.phase_changes = b.phase_changes = 30;
    a.seconds = b.seconds = 600;
    CHECK(*compare(a, b).phases == Catch::Approx(1));
    CHECK(compare(a, b).score == Catch::Approx((0.45 * 0.5 + 0.35 + 0.1) / 0.95));
    CHECK(compare(a, b).score == Catch::Approx(compare(b, a).score));
}

TEST_CASE("class and phases alone make nobody similar") {
    auto a = traits({}), b = traits({});
    a.workload = b.workload = "web";
    a.workload_confidence = b.workload_confidence = 1;
    CHECK(!compare(a, b).comparable);
    CHECK(compare(a, b).score == 0);
}
