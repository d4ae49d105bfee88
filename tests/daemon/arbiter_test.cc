// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/arbiter.h"
#include "daemon/arbiter_curves.h"

#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <chrono>

using namespace tidemark::daemon;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// Fills its limit; so many faults a second would be saved by more DRAM, lost by less, a MiB.
GuestDemand guest(const std::string &id, std::uint64_t limit_mib, double gain, double loss) {
    return {.id = id,
            .limit = limit_mib * kMiB,
            .used = limit_mib * kMiB,
            .floor = 64 * kMiB,
            .most = 4096 * kMiB,
            .memory = 4096 * kMiB,
            .known = true,
            .gains = {{512 * kMiB, gain * 512}},
            .losses = {{limit_mib * kMiB, loss * double(limit_mib)}}};
}

// Rounds until nothing moves, everybody at once at its limit.
std::vector<GuestDemand> settle(Arbiter &arbiter, std::uint64_t budget,
                                std::vector<GuestDemand> guests, int rounds = 100) {
    for (int i = 0; i < rounds; ++i) {
        const auto grants = arbiter.round({budget, false}, guests);
        for (std::size_t g = 0; g < guests.size(); ++g) {
            guests[g].limit = guests[g].used = grants[g].limit;
        }
    }
    return guests;
}

} // namespace

TEST_CASE(
    "DRAM goes from the guest that loses little to the one that gains much, down to the floor") {
    Arbiter arbiter;
    const auto after =
        settle(arbiter, 2048 * kMiB, {guest("idle", 1024, 0, 0.1), guest("busy", 1024, 20, 50)});
    CHECK(after[0].limit == after[0].floor);
    CHECK(after[1].limit == 2048 * kMiB - after[0].floor);
}

TEST_CASE("a raise waits until the DRAM is really free") {
    Arbiter arbiter;
    std::vector<GuestDemand> guests = {guest("idle", 1024, 0, 0.1), guest("busy", 1024, 20, 50)};
    const auto first = arbiter.round({2048 * kMiB, false}, guests);
    CHECK(first[0].limit == 1024 * kMiB - Arbiter::max_step(4096 * kMiB));
    CHECK(first[1].limit == 1024 * kMiB);
    guests[0].limit = first[0].limit; // but it still uses what it had
    const auto second = arbiter.round({2048 * kMiB, false}, guests);
    // One step more for the round after, and no further while nothing leaves.
    CHECK(second[0].limit == first[0].limit - Arbiter::max_step(4096 * kMiB));
    CHECK(second[1].limit == 1024 * kMiB);
    guests[0].limit = second[0].limit;
    CHECK(arbiter.round({2048 * kMiB, false}, guests)[0].limit == second[0].limit);
    guests[0].used = first[0].limit;
    const auto third = arbiter.round({2048 * kMiB, false}, guests);
    CHECK(third[1].limit == 1024 * kMiB + Arbiter::max_step(4096 * kMiB));
}

TEST_CASE("a small difference moves nothing, priority makes it large") {
    Arbiter arbiter;
    auto alike = std::vector{guest("a", 1024, 10, 10), guest("b", 1024, 11, 11)};
    CHECK(settle(arbiter, 2048 * kMiB, alike)[0].limit == 1024 * kMiB);
    alike[1].priority = 200;
    CHECK(settle(arbiter, 2048 * kMiB, alike)[1].limit > 1900 * kMiB);
    alike[1].priority = 100;
    alike[1].lost = 0.9; // stands still nearly all the time
    CHECK(settle(arbiter, 2048 * kMiB, alike)[1].limit > 1900 * kMiB);
}

TEST_CASE("what a MiB was worth is remembered for a while by who has it, until it falls idle") {
    Arbiter arbiter;
    auto guests = std::vector{guest("thrashed", 1024, 300, 300), guest("other", 1024, 45, 45)};
    arbiter.round({2048 * kMiB, false}, guests);
    guests[0] =
        guest("thrashed", 1024, 0, Arbiter::kInUse + 1); // all of it is in DRAM: no fault tells
    const auto rounds_until_it_sells = [&] {
        int rounds = 1;
        while (rounds < 1000 &&
               arbiter.round({2048 * kMiB, false}, guests)[0].limit == 1024 * kMiB) {
            ++rounds;
        }
        return rounds;
    };
    SECTION("forgotten by half every kForget rounds") {
        // 300 is above 45 and the hysteresis for log2(300 / 36) times that.
        const int rounds = rounds_until_it_sells();
        CHECK(rounds > 2.5 * Arbiter::kForget);
        CHECK(rounds < 4 * Arbiter::kForget);
    }
    SECTION("memory that is seen to be cold is sold for what it is worth now") {
        guests[0].losses = {{512 * kMiB, 512 * 0.5}, {1024 * kMiB, 512 * 30.0}};
        CHECK(rounds_until_it_sells() <= int(Arbiter::kSettle) + 1); // the other has just sold
    }
    SECTION("not by one that does nothing") {
        guests[0].idle = true;
        CHECK(rounds_until_it_sells() <= int(Arbiter::kSettle) + 1);
    }
}

TEST_CASE("a fixed limit is never passed, and one that was lowered holds at once") {
    Arbiter arbiter;
    auto guests = std::vector{guest("fixed", 512, 100, 100), guest("other", 512, 1, 1)};
    guests[0].most = 600 * kMiB;
    const auto after = settle(arbiter, 4096 * kMiB, guests);
    CHECK(after[0].limit == 600 * kMiB);
    guests[0].most = 256 * kMiB;
    CHECK(arbiter.round({4096 * kMiB, false}, guests)[0].limit == 256 * kMiB);
}

TEST_CASE("a guest without curves keeps its limit") {
    Arbiter arbiter;
    auto guests = std::vector{guest("new", 1024, 0, 0), guest("busy", 1024, 20, 50)};
    guests[0].known = false;
    CHECK(settle(arbiter, 2048 * kMiB, guests)[0].limit == 1024 * kMiB);
}

TEST_CASE("a smaller budget holds at once, and takes from who loses least") {
    Arbiter arbiter;
    const auto guests = std::vector{guest("a", 1024, 0, 5), guest("b", 1024, 0, 1)};
    const auto grants = arbiter.round({1536 * kMiB, false}, guests);
    CHECK(grants[0].limit == 1024 * kMiB);
    CHECK(grants[1].limit == 512 * kMiB);
}

TEST_CASE("guests of which nothing is known give alike when the budget forces them") {
    Arbiter arbiter;
    auto guests = std::vector{guest("a", 1024, 0, 0), guest("b", 1024, 0, 0)};
    for (GuestDemand &one : guests) {
        one.known = false;
        one.losses.clear();
    }
    const auto grants = arbiter.round({1024 * kMiB, false}, guests);
    CHECK(grants[0].limit + grants[1].limit <= 1024 * kMiB);
    CHECK(grants[0].limit > 300 * kMiB);
    CHECK(grants[1].limit > 300 * kMiB);
}

TEST_CASE("floors hold even where their sum does not fit, and are reached at once") {
    Arbiter arbiter;
    auto guests = std::vector{guest("a", 128, 0, 0), guest("b", 1024, 0, 9)};
    guests[0].floor = 512 * kMiB;
    auto grants = arbiter.round({1152 * kMiB, false}, guests);
    CHECK(grants[0].limit == 512 * kMiB);
    CHECK(grants[1].limit == 640 * kMiB);
    grants = arbiter.round({100 * kMiB, false}, guests);
    CHECK(grants[0].limit == 512 * kMiB);
    CHECK(grants[1].limit == 64 * kMiB);
}

TEST_CASE("nobody is raised while the host itself runs short of memory") {
    Arbiter arbiter;
    const auto guests = std::vector{guest("a", 128, 50, 50)};
    CHECK(arbiter.round({4096 * kMiB, true}, guests)[0].limit == 128 * kMiB);
    CHECK(arbiter.round({4096 * kMiB, false}, guests)[0].limit > 128 * kMiB);
}

TEST_CASE("two guests that turn round at every step are left alone") {
    Arbiter arbiter;
    auto guests = std::vector{guest("a", 1024, 0, 0), guest("b", 1024, 0, 0)};
    int turns = 0, last = 0;
    for (int round = 0; round < 400; ++round) {
        // What each says is of the time before the last move: always wrong.
        const bool first_smaller = guests[0].limit <= guests[1].limit;
        for (std::size_t g = 0; g < 2; ++g) {
            const bool wants = (g == 0) == first_smaller;
            const auto before = guests[g];
            guests[g] = guest(before.id, before.limit / kMiB, wants ? 10 : 0, wants ? 10 : 0.1);
        }
        const auto grants = arbiter.round({2048 * kMiB, false}, guests);
        const std::uint64_t was = guests[0].limit;
        for (std::size_t g = 0; g < 2; ++g) {
            guests[g].limit = guests[g].used = grants[g].limit;
        }
        const int now = (guests[0].limit > was) - (guests[0].limit < was);
        if (now != 0) {
            turns += last != 0 && now != last;
            last = now;
        }
    }
    CHECK(turns <= 4 * 5); // four times left alone, a few turns each
}

TEST_CASE("a cliff further away than a step is climbed") {
    Arbiter arbiter;
    // Walks 1 GiB in order: nothing is saved before all of it fits.
    auto guests = std::vector{guest("walker", 512, 0, 1), guest("idle", 1024, 0, 0.1)};
    for (int round = 0; round < 60; ++round) {
        const std::uint64_t missing =
            1024 * kMiB - std::min<std::uint64_t>(1024 * kMiB, guests[0].limit);
        guests[0].gains = missing == 0 ? std::vector<DramEffect>{}
                                       : std::vector<DramEffect>{{missing / 2, 0}, {missing, 9000}};
        const auto grants = arbiter.round({1536 * kMiB, false}, guests);
        for (std::size_t g = 0; g < 2; ++g) {
            guests[g].limit = guests[g].used = grants[g].limit;
        }
    }
    CHECK(guests[0].limit >= 1024 * kMiB);
}

TEST_CASE("admission: a floor fits or is refused with a sentence") {
    const auto guests = std::vector{guest("a", 1024, 0, 0), guest("b", 512, 0, 0)};
    CHECK(admit(2048 * kMiB, guests, "new", 64 * kMiB, 256 * kMiB) == 256 * kMiB);
    CHECK(admit(2048 * kMiB, guests, "new", 64 * kMiB, 1024 * kMiB) == 512 * kMiB);
    CHECK(admit(2048 * kMiB, guests, "new", 1024 * kMiB, 1024 * kMiB) == 1024 * kMiB);
    const auto refused = admit(2048 * kMiB, guests, "new", 1984 * kMiB, 1984 * kMiB);
    REQUIRE(!refused);
    CHECK(refused.error().code == ENOSPC);
    CHECK(refused.error().sentence.find("'new' is 1984 MiB") != std::string::npos);
    CHECK(refused.error().sentence.find("leave 1920 MiB") != std::string::npos);
    CHECK(
        !admit(64 * kMiB, guests, "new", 64 * kMiB, 64 * kMiB)); // the floors are above it already
}

TEST_CASE("what less DRAM costs: room, then tested old memory, then the rest") {
    UseOfDram use{.watched = true, .limit = 1000 * kMiB, .used = 800 * kMiB};
    use.cold = {
        {30, 600 * kMiB, 600 * kMiB}, {120, 400 * kMiB, 300 * kMiB}, {600, 200 * kMiB, 100 * kMiB}};
    const auto losses = losses_of(use);
    REQUIRE(losses.size() == 5);
    CHECK(losses[0].bytes == 200 * kMiB - kKeptFree);
    CHECK(losses[0].faults == 0);
    CHECK(losses[1].bytes == 300 * kMiB - kKeptFree); // 600 s, tested
    CHECK(losses[2].bytes == 600 * kMiB - kKeptFree); // 600 s untested, 120 s tested: once in 120 s
    CHECK(losses[3].bytes == 800 * kMiB - kKeptFree); // no colder than 30 s
    CHECK(losses[4].bytes == 1000 * kMiB);
    for (std::size_t i = 1; i < losses.size(); ++i) {
        CHECK(losses[i].faults > losses[i - 1].faults);
    }
    use.idle = true;
    CHECK(losses_of(use).back().faults < losses.back().faults / 3);
    use.watched = false;
    CHECK(losses_of(use).size() == 2);
}

TEST_CASE("what more DRAM saves is a share of the refaults of now") {
    UseOfDram use{.refaults_per_second = 100,
                  .more = {{0, 0.5}, {64 * kMiB, 0.25}, {128 * kMiB, 7}}};
    const auto gains = gains_of(use);
    REQUIRE(gains.size() == 2);
    CHECK(gains[0].faults == 25);
    CHECK(gains[1].faults == 100);
    // What it has and has not filled is the first of it, but for what is kept free.
    use.limit = 1024 * kMiB;
    use.used = use.limit - kKeptFree - 96 * kMiB;
    const auto rest = gains_of(use);
    REQUIRE(rest.size() == 1);
    CHECK(rest[0].bytes == 32 * kMiB);
    CHECK(rest[0].faults == 37.5);
}
