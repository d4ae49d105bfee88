// SPDX-License-Identifier: GPL-2.0-or-later
//
// A working set that comes back is recognised from its first pages, and what never comes back is left alone.
#include "watched_phases.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <random>
#include <set>

using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("the second visit to a set is recognised, and all the rest of it named, once") {
    Watched watched;
    std::mt19937 random(1);
    const auto sets = scattered_sets(kPages, 3, 0.2, 7);
    fill(watched.guest, kPages);
    for (const auto &set : sets)
        work_in(watched.guest, set, 4.1, random);
    CHECK(watched.named.empty());
    for (const auto &set : sets) {
        watched.forget_named();
        const double begin = watched.guest.now;
        work_in(watched.guest, set, 4.1, random);
        REQUIRE_FALSE(watched.times.empty());
        INFO("named after " << watched.times.front() - begin << " s");
        CHECK(watched.times.front() - begin <= 0.5);
        // Up to half a second of faults has taken some of it already.
        CHECK(watched.named_of(set) > set.size() / 2);
        CHECK(watched.named_of(set) < set.size() - 300); // what is there is not named
        CHECK(watched.named_of(set) >= watched.named_pages() * 95 / 100);
        std::set<std::uint32_t> once;
        for (const Expectation &one : watched.named)
            for (std::uint32_t i = 0; i < one.run.count; ++i)
                CHECK(once.insert(one.run.first.value + i).second);
        CHECK(watched.named.front().confidence > 0.5f);
        CHECK(watched.named.front().until > begin + 3);
    }
}

TEST_CASE("a change in the midst of a window is seen at its end") {
    Watched watched;
    watched.guest.window = 1;
    std::mt19937 random(22);
    const auto sets = scattered_sets(kPages, 3, 0.2, 23);
    fill(watched.guest, kPages);
    for (std::size_t i = 0; i < 6; ++i)
        work_in(watched.guest, sets[i % 3], 5.1, random);
    watched.guest.evict_all();
    watched.guest.rest(std::ceil(watched.guest.now) + 0.001 - watched.guest.now);
    watched.forget_named();
    work_in(watched.guest, sets[0], 0.5, random);
    work_in(watched.guest, sets[1], 0.51, random);
    REQUIRE(watched.times.size() == 1);
    CHECK(watched.named_of(sets[1]) > sets[1].size() / 2);
}

TEST_CASE("what is brought in ahead spares most faults, from the second round on") {
    Watched with(kAll), without;
    const auto sets = scattered_sets(kPages, 3, 0.2, 8);
    std::uint64_t faults[2][5] = {};
    for (Watched *one : {&with, &without}) {
        std::mt19937 random(2);
        fill(one->guest, kPages);
        for (int round = 0; round < 5; ++round) {
            const std::uint64_t before = one->guest.faults;
            for (const auto &set : sets)
                work_in(one->guest, set, 4.1, random);
            faults[one == &without][round] = one->guest.faults - before;
        }
    }
    CHECK(faults[0][0] > faults[1][0] / 2); // nothing is known in the first round
    for (const int round : {1, 2, 3, 4}) {
        INFO(round << ": " << faults[0][round] << " of " << faults[1][round]);
        CHECK(faults[0][round] * 4 < faults[1][round]);
    }
    CHECK(with.guest.wasted * 16 * 20 < with.guest.ahead);
    // That pages raise no faults any more when they are brought in is not held against the sets.
    for (int set = 0; set < 3; ++set)
        CHECK(with.phases.store().at(set).share > 0.9f);
}

TEST_CASE("when there is room beside the present set, the next one is named before its turn") {
    for (const bool room : {true, false}) {
        Watched watched(kAll);
        watched.phases.set_room(room ? kPages / 4 : kPages / 8);
        std::mt19937 random(20);
        const auto sets = scattered_sets(kPages, 6, 0.08, 21);
        fill(watched.guest, kPages);
        for (int i = 0; i < 18; ++i)
            work_in(watched.guest, sets[static_cast<std::size_t>(i % 6)], 3.1, random);
        watched.forget_named();
        const double begin = watched.guest.now;
        work_in(watched.guest, sets[0], 3.1, random);
        INFO(room);
        CHECK(watched.named_of(sets[1]) == (room ? sets[1].size() : 0));
        const std::uint64_t faults = watched.guest.faults;
        work_in(watched.guest, sets[1], 3.1, random);
        CHECK((watched.guest.faults - faults < sets[1].size() / 20) == room);
        if (room) {
            CHECK(watched.times.back() > begin + 2);
            CHECK(watched.named.back().until > begin + 5);
        }
    }
}

TEST_CASE("uniform and zipf traffic is never taken for a return") {
    for (const bool zipf : {false, true}) {
        Watched watched;
        std::mt19937 random(3);
        fill(watched.guest, kPages);
        for (int i = 0; i < 1'000'000; ++i) {
            const double u = double(random()) / 4294967296.0;
            // Pareto-like ranks, scattered.
            const auto rank = static_cast<std::uint64_t>(zipf ? std::pow(kPages, u) : u * kPages);
            watched.guest.touch(static_cast<std::uint32_t>(rank * 40503 % kPages));
        }
        INFO(zipf);
        CHECK(watched.named.empty());
        CHECK(watched.phases.present() == -1);
    }
}

TEST_CASE("a few uses of a known set are no return to it, nor is traffic that includes it") {
    Watched watched;
    std::mt19937 random(30);
    const auto sets = scattered_sets(kPages, 3, 0.1, 31);
    fill(watched.guest, kPages);
    for (const auto &set : sets) {
        work_in(watched.guest, set, 3.1, random);
        watched.guest.evict_all();
    }
    watched.forget_named();
    for (std::size_t i = 0; i < 96; ++i) // six blocks
        watched.guest.touch(sets[0][i]);
    watched.guest.rest(5);
    CHECK(watched.named.empty());
    for (int i = 0; i < 100'000; ++i)
        watched.guest.touch(random() % 4 == 0 ? sets[1][random() % sets[1].size()]
                                              : static_cast<std::uint32_t>(random()) % kPages);
    CHECK(watched.named.empty());
}

TEST_CASE("a stay goes on while its pages leave and come back, and through silence") {
    Watched watched(0, kPages / 8); // three fifths of a set fit
    std::mt19937 random(32);
    const auto sets = scattered_sets(kPages, 2, 0.2, 33);
    fill(watched.guest, kPages);
    for (int round = 0; round < 2; ++round)
        for (const auto &set : sets)
            work_in(watched.guest, set, 6.1, random);
    const int present = watched.phases.present();
    REQUIRE(present >= 0);
    watched.forget_named();
    std::vector<std::uint32_t> out;
    for (const std::uint32_t page : sets[1])
        if (!watched.guest.resident(page))
            out.push_back(page);
    for (std::size_t i = 0; i < out.size() / 4; ++i)
        watched.guest.touch(out[i]);
    watched.guest.rest(5);
    work_in(watched.guest, sets[1], 4, random);
    CHECK(watched.named.empty());
    CHECK(watched.phases.present() == present);
}

TEST_CASE("passes over the memory, and a set that drifts, name nothing that is wasted") {
    Watched watched;
    for (int pass = 0; pass < 4; ++pass)
        fill(watched.guest, kPages);
    CHECK(watched.named.empty());
    std::mt19937 random(4);
    for (int i = 0; i < 400'000; ++i)
        watched.guest.touch((static_cast<std::uint32_t>(i) / 20 + random() % 4096) % kPages);
    CHECK(watched.named.empty());
}

TEST_CASE("a job that comes back to a guest otherwise quiet is recognised") {
    Watched watched;
    std::mt19937 random(5);
    const auto sets = scattered_sets(kPages, 1, 0.1, 9);
    fill(watched.guest, kPages / 8);
    for (int day = 0; day < 4; ++day) {
        watched.forget_named();
        work_in(watched.guest, sets[0], 3, random);
        if (day > 0)
            CHECK(watched.named_of(sets[0]) > sets[0].size() / 3);
        watched.guest.rest(5);
        watched.guest.evict_all();
        watched.guest.rest(40);
        watched.forget_named();
        watched.guest.rest(10);
        // From the third day on its period is known: named before it begins.
        CHECK(watched.named_of(sets[0]) == (day >= 2 ? sets[0].size() : 0));
    }
}

// The known set that has this page's block; the last, if there are some.
static const Phase &set_with(const PhaseStore &store, std::uint32_t page) {
    int set = -1;
    for (int i = 0; i < kMostPhases; ++i)
        if (store.at(i).known && (store.members(page / kBlockPages) >> i & 1) != 0)
            set = i;
    REQUIRE(set >= 0);
    return store.at(set);
}

// A guest that works in three sets in turn.
struct ThreeInTurn {
    Watched watched;
    std::vector<std::vector<std::uint32_t>> sets = scattered_sets(kPages, 3, 0.2, 10);
    std::mt19937 random{6};

    explicit ThreeInTurn(std::size_t ordered) : watched(ordered) { fill(watched.guest, kPages); }
    void round() {
        for (const auto &set : sets)
            work_in(watched.guest, set, 4, random);
    }
};

TEST_CASE("a set half of which is no longer used is trusted less, and shrinks") {
    ThreeInTurn guest(kAll);
    auto &[watched, sets, random] = guest;
    for (int i = 0; i < 4; ++i)
        guest.round();
    const std::vector<std::uint32_t> gone(sets[0].begin() + std::ptrdiff_t(sets[0].size() / 2),
                                          sets[0].end());
    sets[0].resize(sets[0].size() / 2);
    const Phase &phase = set_with(watched.phases.store(), gone[0]);
    CHECK(phase.share > 0.85f);
    const std::uint32_t pages = phase.pages;
    // One in sixteen of the pages brought in shows that it was not used.
    for (int i = 0; i < 3; ++i)
        guest.round();
    CHECK(phase.share < 0.7f);
    for (int i = 0; i < 12; ++i)
        guest.round();
    CHECK(phase.pages < pages * 9 / 10);
}

// A set that was learnt with pages that aren't its own earns nothing, and is only brought in by a few runs on trial.
TEST_CASE(
    "a set half of which is not its own shrinks, also while some of it is brought in on trial") {
    const std::size_t ordered = GENERATE(std::size_t{0}, kTrial);
    ThreeInTurn guest(ordered);
    auto &[watched, sets, random] = guest;
    guest.round();
    const std::uint32_t gone = sets[0].back();
    sets[0].resize(sets[0].size() / 2);
    guest.round();
    const Phase &phase = set_with(watched.phases.store(), gone);
    const std::uint32_t pages = phase.pages;
    for (int i = 0; i < 4; ++i)
        guest.round();
    CHECK(phase.pages < pages * 7 / 10);
}

TEST_CASE("more sets than can be kept: those seen last are known, in bounded memory") {
    Watched watched;
    std::mt19937 random(11);
    const auto sets = scattered_sets(kPages, 12, 0.08, 12);
    fill(watched.guest, kPages);
    for (const auto &set : sets)
        work_in(watched.guest, set, 2.1, random);
    watched.guest.evict_all();
    watched.forget_named();
    work_in(watched.guest, sets[10], 2, random);
    CHECK(watched.named_of(sets[10]) > sets[10].size() / 3);
    watched.forget_named();
    work_in(watched.guest, sets[0], 2, random);
    CHECK(watched.named_of(sets[0]) == 0);
    CHECK(watched.phases.bytes() < sizeof(Phases) + kPages / 16 * 30 + 4096);
}

TEST_CASE("accesses beyond the end of memory and windows without length do no harm") {
    Phases phases(1000);
    const std::vector<Access> odd = {{PageIndex{990}, 4000, AccessKind::stored},
                                     {PageIndex{5000}, 1, AccessKind::left},
                                     {PageIndex{UINT32_MAX}, UINT32_MAX, AccessKind::wasted}};
    std::vector<Expectation> out;
    for (int i = 0; i < 20; ++i) {
        phases.observe({i * 0.25, i % 2 ? 0.0 : 0.25, odd, {}});
        phases.expect(out);
    }
    CHECK(out.empty());
    Phases tiny(1);
    tiny.observe({0, 0.25, odd, {}});
    tiny.expect(out);
    CHECK(out.empty());
}
