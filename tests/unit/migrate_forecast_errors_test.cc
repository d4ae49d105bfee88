// SPDX-License-Identifier: GPL-2.0-or-later
//
// Bounds that are learnt from errors hold as often as they say, whatever the errors look like.
#include "migrate/forecast_errors.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

using namespace tidemark;

namespace {

ForecastError error_of(double forecast, double p90, double actual) {
    return {{Bound{forecast, p90}, Bound{forecast, p90}, Bound{forecast, p90}},
            {actual, actual, actual}};
}

Bound adjusted(const ForecastErrors &errors, Quantity quantity, Bound raw) {
    return errors.adjusted({raw, raw, raw})[static_cast<std::size_t>(quantity)];
}

// Of 400 migrations, each judged by the errors of those before: how often the actual stays below the upper bound, and
// the median below the middle. `make` draws (forecast, what came).
struct Held {
    double p90 = 0, p50 = 0;
};
template <typename Make>
Held held(Quantity quantity, Make make, unsigned seed = 11, int migrations = 400) {
    ForecastErrors errors;
    std::mt19937_64 random(seed);
    int below = 0, middle = 0, asked = 0;
    for (int i = 0; i < migrations; ++i) {
        const auto [raw, actual] = make(random);
        const Bound said = adjusted(errors, quantity, raw);
        if (i >= 20) {
            ++asked;
            below += actual <= said.p90;
            middle += actual <= said.p50;
        }
        errors.add(error_of(raw.p50, raw.p90, actual));
    }
    return {double(below) / asked, double(middle) / asked};
}

} // namespace

TEST_CASE("without errors a forecast stays about what it is") {
    const ForecastErrors none;
    for (const Quantity quantity : {Quantity::seconds, Quantity::bytes, Quantity::downtime}) {
        const Bound bound = adjusted(none, quantity, {10, 12});
        CHECK(bound.p50 == 10);
        CHECK(bound.p90 > 11.5);
        CHECK(bound.p90 < 13);
    }
}

TEST_CASE("bounds hold in 85 to 95 percent of migrations, although the model is wrong") {
    using Pair = std::pair<Bound, double>;
    const auto normal = [](std::mt19937_64 &r, double sd) {
        return std::normal_distribution<>(0, sd)(r);
    };
    const auto size = [](std::mt19937_64 &r) { return std::uniform_real_distribution<>(3, 60)(r); };
    const auto check = [](Held held) {
        CHECK(held.p90 >= 0.85);
        CHECK(held.p90 <= 0.95);
        CHECK(held.p50 >= 0.4);
        CHECK(held.p50 <= 0.6);
    };
    SECTION("its bounds are much too narrow, and it says too little") {
        check(held(Quantity::seconds, [&](auto &r) {
            const double said = size(r);
            return Pair{{said, 1.01 * said}, said * 1.2 * std::exp(normal(r, 0.1))};
        }));
    }
    SECTION("its bounds are much too wide") {
        check(held(Quantity::bytes, [&](auto &r) {
            const double said = size(r);
            return Pair{{said, 1.5 * said}, said * std::exp(normal(r, 0.02))};
        }));
    }
    SECTION("errors are skewed") {
        check(held(Quantity::downtime, [&](auto &r) {
            const double said = 0.05 + size(r) / 1000;
            return Pair{{said, said + 0.005}, said + std::exponential_distribution<>(80)(r)};
        }));
    }
}

TEST_CASE("a few dozen migrations are enough to make bounds that are much too wide hold as often "
          "as they say") {
    Held all;
    for (unsigned seed = 1; seed <= 20; ++seed) {
        const Held one = held(
            Quantity::bytes,
            [](auto &r) {
                return std::pair{Bound{10, 11},
                                 10 * std::exp(std::normal_distribution<>(0, 0.002)(r))};
            },
            seed, 45);
        all.p90 += one.p90 / 20;
    }
    CHECK(all.p90 >= 0.85);
    CHECK(all.p90 <= 0.95);
}

// A guest of 128 MiB whose downtime the model knows, and one of 256 MiB that stops for 30 ms longer than it says.
TEST_CASE("what the model gets wrong with one guest is corrected for that guest alone") {
    std::mt19937_64 random(5);
    std::normal_distribution<> noise(0, 0.002);
    ForecastErrors errors;
    const auto forecast_of = [&](double mib, double downtime) {
        const double said = downtime + noise(random);
        return Bounds{Bound{mib / 32, mib / 31}, Bound{mib, mib * 1.02}, Bound{said, said + 0.01}};
    };
    double right = 0, wrong = 0; // the latest forecasts' errors
    for (int i = 0; i < 30; ++i) {
        const Bounds small = forecast_of(128, 0.05), large = forecast_of(256, 0.05);
        const double small_came = 0.05 + noise(random), large_came = 0.08 + noise(random);
        right = std::abs(errors.adjusted(small)[2].p50 - small_came);
        wrong = std::abs(errors.adjusted(large)[2].p50 - large_came);
        errors.add({small, {128.0 / 32, 128, small_came}});
        errors.add({large, {256.0 / 32, 256, large_came}});
    }
    CHECK(right < 0.012);
    CHECK(wrong < 0.012);
}

TEST_CASE("memory is bounded, and zeros do no harm") {
    ForecastErrors errors;
    for (int i = 0; i < 1000; ++i)
        errors.add(error_of(i % 3 ? 0 : 5, 6, i % 2 ? 0 : 5));
    CHECK(errors.kept().size() == ForecastErrors::kMost);
    const Bound bound = adjusted(errors, Quantity::downtime, {0, 0});
    CHECK(bound.p50 >= 0);
    CHECK(bound.p90 >= bound.p50);
}
