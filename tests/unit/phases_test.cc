// SPDX-License-Identifier: GPL-2.0-or-later
//
// A working set that comes back is recognised from its first pages, and what never comes back is left alone.
#include "predict/phases.h"
#include "tiny_guest.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <set>

using namespace tidemark;
using namespace tidemark::test;

namespace {

constexpr std::uint32_t kPages = 65536;

struct Watched {
    explicit Watched(bool act = false, std::uint32_t dram = kPages / 4) : guest(kPages, dram) {
        phases.set_room(dram);
        guest.on_window = [this, act](const Window &window) {
            phases.observe(window);
            std::vector<Expectation> now;
            phases.expect(now);
            for (const Expectation &one : now) {
                named.push_back(one);
                if (act)
                    guest.order(one.run, Origin::phases);
            }
            if (!now.empty())
                times.push_back(window.begin + window.seconds);
        };
    }
    std::uint64_t named_pages() const {
        std::uint64_t sum = 0;
        for (const Expectation &one : named)
            sum += one.run.count;
        return sum;
    }
    std::uint64_t named_of(const std::vector<std::uint32_t> &set) const {
        const std::set<std::uint32_t> members(set.begin(), set.end());
        std::uint64_t sum = 0;
        for (const Expectation &one : named)
            for (std::uint32_t i = 0; i < one.run.count; ++i)
                sum += members.contains(one.run.first.value + i);
        return sum;
    }
    void forget_named() {
        named.clear();
        times.clear();
    }

    Phases phases{kPages};
    TinyGuest guest;
    std::vector<Expectation> named;
    std::vector<double> times;
};

} // namespace

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
        CHECK(watched.named_of(set) >= watched.named_pages() * 95 / 100);
        std::set<std::uint32_t> once;
        for (const Expectation &one : watched.named)
            for (std::uint32_t i = 0; i < one.run.count; ++i)
                CHECK(once.insert(one.run.first.value + i).second);
        CHECK(watched.named.front().confidence > 0.5f);
        CHECK(watched.named.front().until > begin + 3);
    }
}

TEST_CASE("what is brought in ahead spares most faults, from the second round on") {
    Watched with(true), without(false);
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
}

TEST_CASE("when there is room beside the present set, the next one is named before its turn") {
    for (const bool room : {true, false}) {
        Watched watched(true);
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

TEST_CASE("a set half of which is no longer used is trusted less") {
    Watched watched(true);
    std::mt19937 random(6);
    auto sets = scattered_sets(kPages, 3, 0.2, 10);
    fill(watched.guest, kPages);
    const auto round = [&] {
        for (const auto &set : sets)
            work_in(watched.guest, set, 4, random);
    };
    round();
    round();
    const std::vector<std::uint32_t> gone(sets[0].begin() + std::ptrdiff_t(sets[0].size() / 2),
                                          sets[0].end());
    sets[0].resize(sets[0].size() / 2);
    // Only one in sixteen of those brought in shows that it was not used.
    round();
    watched.forget_named();
    round();
    const std::uint64_t soon = watched.named_of(gone);
    CHECK(soon > 0);
    for (int i = 0; i < 4; ++i)
        round();
    int set = -1;
    for (int i = 0; i < kMostPhases; ++i)
        if (watched.phases.store().at(i).known &&
            (watched.phases.store().members(gone[0] / 16) >> i & 1) != 0)
            set = i;
    REQUIRE(set >= 0);
    CHECK(watched.phases.store().at(set).share < 0.8f);
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

TEST_CASE("what is learnt is saved, and serves after a restart") {
    Watched before;
    std::mt19937 random(13);
    const auto sets = scattered_sets(kPages, 3, 0.2, 14);
    CHECK(before.phases.save().empty());
    fill(before.guest, kPages);
    for (int round = 0; round < 2; ++round)
        for (const auto &set : sets)
            work_in(before.guest, set, 4, random);
    const auto bytes = before.phases.save();
    REQUIRE_FALSE(bytes.empty());

    Watched after;
    REQUIRE(after.phases.restore(bytes));
    CHECK(after.phases.save() == bytes);
    after.guest.rest(1);
    fill(after.guest, kPages);
    work_in(after.guest, sets[1], 2, random);
    CHECK(after.named_of(sets[1]) > sets[1].size() / 2);
}

TEST_CASE("a damaged or foreign record is refused, and nothing is lost") {
    Watched watched;
    std::mt19937 random(15);
    const auto sets = scattered_sets(kPages, 2, 0.02, 16);
    fill(watched.guest, kPages);
    for (int round = 0; round < 2; ++round)
        for (const auto &set : sets) {
            work_in(watched.guest, set, 2, random);
            watched.guest.evict_all();
        }
    const auto bytes = watched.phases.save();
    REQUIRE(bytes.size() > 100);
    const auto refused = [&](std::span<const std::byte> bad) {
        const auto result = watched.phases.restore(bad);
        return !result && result.error().code == EINVAL &&
               result.error().sentence.starts_with("this is no usable record of phases: ");
    };
    for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 64)
        CHECK(refused(std::span(bytes).first(length)));
    for (std::size_t at = 0; at < bytes.size(); at += 1 + at / 256) {
        auto flipped = bytes;
        flipped[at] ^= std::byte{0x10};
        CHECK(refused(flipped));
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    CHECK(refused(longer));
    Phases other(kPages / 2);
    REQUIRE_FALSE(other.restore(bytes));
    CHECK(other.save().empty());
    CHECK(watched.phases.save() == bytes);
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
