// SPDX-License-Identifier: GPL-2.0-or-later
//
// What phases keep of working sets, and their file.
#include "watched_phases.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <random>

using namespace tidemark;
using namespace tidemark::test;

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
    for (const double late : {0.004, 0.3, 0.001}) { // windows are told of more or less late
        after.started = before.started + late;
        after.guest.rest(1);
        CHECK(after.phases.save() == bytes);
    }
    after.started += 3600; // somebody sets the wall clock
    after.guest.rest(1);
    CHECK(after.phases.save() != bytes);
    fill(after.guest, kPages);
    work_in(after.guest, sets[1], 2, random);
    CHECK(after.named_of(sets[1]) > sets[1].size() / 2);
}

TEST_CASE("a job that comes at its time is foreseen though the process ended and began meanwhile") {
    constexpr double kDay = 60, kWork = 3, kBeforeDue = 30;
    Watched before;
    std::mt19937 random(17);
    const auto sets = scattered_sets(kPages, 1, 0.1, 18);
    fill(before.guest, kPages / 8);
    double due = before.guest.now;
    for (int day = 0; day < 4; ++day) {
        work_in(before.guest, sets[0], kWork, random);
        before.guest.rest(5);
        before.guest.evict_all();
        due += kDay;
        before.guest.rest(due - before.guest.now);
    }
    const auto bytes = before.phases.save();
    REQUIRE_FALSE(bytes.empty());

    const int missed = GENERATE(0, 1, 5); // of its times, after the one at which the process ended
    Watched after;
    after.started = before.started + due + (missed + 1) * kDay - kBeforeDue;
    REQUIRE(after.phases.restore(bytes));
    after.guest.rest(kBeforeDue / 2);
    CHECK(after.named_of(sets[0]) == 0);
    after.guest.rest(kBeforeDue / 2 - 1);
    CHECK(after.named_of(sets[0]) == sets[0].size());

    Watched without_it; // another time of day
    without_it.started = after.started - kDay / 2;
    REQUIRE(without_it.phases.restore(bytes));
    without_it.guest.rest(kBeforeDue - 1);
    CHECK(without_it.named_of(sets[0]) == 0);
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

TEST_CASE("sets that share some blocks are two, and those that share most are one") {
    PhaseStore store(3200); // 200 blocks
    const auto footprint = [&](std::uint32_t first, std::uint32_t blocks) {
        Footprint used(store.blocks());
        for (std::uint32_t page = first * 16; page < (first + blocks) * 16; ++page)
            used.add(PageIndex{page});
        return used;
    };
    const int set = store.add(footprint(0, 60), 1);
    CHECK(store.at(set).pages == 960);
    CHECK(store.like(footprint(40, 60)) == -1);
    CHECK(store.like(footprint(10, 60)) == set);
    CHECK(store.like(footprint(100, 60)) == -1);
    // What was not used twice in a row goes; what was used stays.
    std::vector<std::uint16_t> unused(store.blocks());
    unused[3] = unused[4] = 0xffff;
    const Footprint nothing(store.blocks());
    CHECK(store.merge(set, nothing, unused));
    CHECK(store.at(set).pages == 960);
    CHECK(store.merge(set, footprint(4, 1), {}));
    CHECK(store.merge(set, nothing, unused));
    CHECK(store.at(set).pages == 960 - 16);
    CHECK((store.members(3) >> set & 1) == 0);
    // Half of the memory is no set.
    CHECK_FALSE(store.merge(set, footprint(60, 42), {}));
    CHECK_FALSE(store.at(set).known);
    CHECK(store.members(5) == 0);
}

TEST_CASE(
    "a record that names pages beyond the end of memory is refused, though its checksum is right") {
    const Seal seal{"TMPHASE\n", 2, "record of phases"};
    for (const bool beyond : {false, true}) {
        PhaseStore store(1000); // the last block has 8 pages
        Footprint used(store.blocks());
        used.add(PageIndex{beyond ? 1001u : 999u});
        store.add(used, 1);
        ByteWriter out;
        store.encode(out, 0);
        Phases phases(1000);
        const auto restored = phases.restore(out.sealed(seal));
        CHECK(restored.has_value() != beyond);
        if (beyond)
            CHECK(restored.error().sentence == "this is no usable record of phases: a set in it "
                                               "has pages that do not exist, or one twice");
    }
}
