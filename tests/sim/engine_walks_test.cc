// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests that walk through their memory, and the regions that are read ahead of them.
#include "sim_machine.h"

#include <catch2/generators/catch_generators.hpp>
#include <thread>

namespace tidemark::sim {
namespace {

std::uint64_t read_on_demand(Machine &machine) {
    return machine.backend->report().counters.faults_stored;
}

TEST_CASE("walks side by side are all read ahead, region by region", "[sim]") {
    constexpr std::uint32_t walks = 4, length = 8 * kRegionPages;
    Machine machine({.pages = 70000, .guest_limit = 68000, .nvme_pages = 70000, .qlc_pages = 0});
    for (std::uint32_t page = 0; page < walks * length; ++page)
        machine.write(PageIndex{page});
    machine.set_guest_limit(200);
    REQUIRE(eventually([&] { return machine.memory->dram_pages() <= 200; }));
    machine.set_guest_limit(68000);
    const std::uint64_t read = read_on_demand(machine);
    std::uint32_t bad = 0;
    for (std::uint32_t page = 0; page < length; ++page)
        for (std::uint32_t walk = 0; walk < walks; ++walk)
            bad += machine.verify(PageIndex{walk * length + page}) ? 0u : 1u;
    CHECK(bad == 0);
    // Until they are known for walks; a region that none has been read ahead of takes 16.
    CHECK(read_on_demand(machine) - read <= walks * 16);
    CHECK(machine.prefetched(Origin::streams) > walks * length * 9 / 10);
}

// Region 0 has stored pages between memory that was never touched; the regions behind it are stored. A walk over
// zeros reads nothing, so it goes on while the disk is held.
struct Crossing {
    static constexpr std::uint32_t kStored = 100, kZeros = 300, kStoredRegions = 5;
    static constexpr std::uint32_t kEnd = kStoredRegions * kRegionPages;
    Crossing() {
        for (std::uint32_t page = kStored; page < machine.backend->pages(); ++page)
            if (page < kZeros || page >= kRegionPages)
                machine.write(PageIndex{page});
        machine.set_guest_limit(200); // what was written last stays
        REQUIRE(eventually([&] { return machine.pages_in(PageState::stored) >= kOut; }));
        for (std::uint32_t page = 0; page < kEnd; ++page)
            REQUIRE_FALSE(machine.memory->guest_present(PageIndex{page}));
        machine.set_guest_limit(10000); // so much that one region is read ahead at a time
    }
    bool walk(std::uint32_t from, std::uint32_t to) {
        bool good = true;
        for (std::uint32_t page = from; page < to; ++page)
            good = machine.verify(PageIndex{page}) && good;
        return good;
    }
    static constexpr std::uint32_t kPages = 10 * kRegionPages;
    static constexpr std::uint32_t kOut = kPages - kRegionPages + kZeros - kStored - 200;
    Machine machine{
        {.pages = kPages, .guest_limit = 6000, .nvme_pages = 2 * kPages, .qlc_pages = 0}};
};

TEST_CASE("a walk that meets a region another one has under way is read ahead behind it", "[sim]") {
    Crossing crossing;
    Machine &machine = crossing.machine;
    const auto late = [&] {
        return machine.backend->report().counters.prefetch.late[index_of(Origin::streams)];
    };
    machine.disks[0]->hold();
    bool first_good = false, second_good = false;
    // The first walk waits for the page it needs, and has the region behind it read.
    std::thread first([&] { first_good = crossing.walk(0, Crossing::kStored + 1); });
    CHECK(eventually([&] { return machine.pages_in(PageState::loading) > kRegionPages; }));
    CHECK(late() == 0);
    // The second one comes to that region from elsewhere.
    std::thread second([&] { second_good = crossing.walk(Crossing::kZeros, kRegionPages + 1); });
    CHECK(eventually([&] { return late() == 1; }));
    const std::uint64_t issued = machine.prefetched(Origin::streams);
    machine.disks[0]->let_go();
    first.join();
    second.join();
    CHECK(first_good);
    CHECK(second_good);
    // The next region is read before anyone comes to it.
    CHECK(eventually([&] { return machine.prefetched(Origin::streams) >= issued + kRegionPages; }));
    for (std::uint32_t region = 1; region < Crossing::kStoredRegions; ++region) {
        const std::uint64_t read = read_on_demand(machine);
        CHECK(crossing.walk(region * kRegionPages, (region + 1) * kRegionPages));
        // One if the guest is there before the region is; a walk that has to be found out anew takes five.
        CHECK(read_on_demand(machine) - read <= 1);
    }
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a walk over memory with scattered zero pages is one walk, and all that it reads counts "
          "as used",
          "[sim]") {
    const bool regions = GENERATE(false, true); // read ahead whole
    const std::uint32_t zero_every = GENERATE(5, 40);
    constexpr std::uint32_t kWalked = 20 * kRegionPages;
    Machine machine({.pages = 24 * kRegionPages,
                     .guest_limit = 2000,
                     .nvme_pages = 48 * kRegionPages,
                     .qlc_pages = 0});
    std::uint32_t written = 0;
    for (std::uint32_t page = 0; page < machine.backend->pages(); ++page)
        if (page % zero_every != 3) {
            machine.write(PageIndex{page});
            written += page < kWalked ? 1 : 0;
        }
    machine.set_guest_limit(200); // what was written last stays
    REQUIRE(eventually([&] { return machine.memory->dram_pages() <= 200; }));
    machine.set_guest_limit(regions ? 11500 : 4000);
    for (std::uint32_t page = 0; page < kWalked; ++page)
        REQUIRE(machine.verify(PageIndex{page}));
    const PrefetchCounters counts = machine.backend->report().counters.prefetch;
    const std::size_t streams = index_of(Origin::streams);
    CHECK(counts.issued[streams] > written * 8ull / 10);
    CHECK(counts.used[streams] <= counts.issued[streams]);
    // What was read last is not seen used, nor a region that a guest on a busy machine came for too late.
    CHECK(counts.used[streams] >= counts.issued[streams] * 3 / 4);
}

// Pages in DRAM that the guest came for without a mark, or before they were read, are not counted here.
TEST_CASE("a stride, and an order that comes again, are read on without a demand read", "[sim]") {
    constexpr std::uint32_t kStride = 16, kPages = 40000, kCount = kPages / kStride;
    const bool strided = GENERATE(true, false);
    Machine machine(
        {.pages = kPages, .guest_limit = kPages, .nvme_pages = 2 * kPages, .qlc_pages = 0});
    for (std::uint32_t page = 0; page < kPages; ++page)
        machine.write(PageIndex{page});
    const auto throw_out = [&] {
        machine.set_guest_limit(200);
        REQUIRE(eventually([&] { return machine.memory->dram_pages() <= 200; }));
        machine.set_guest_limit(8000);
    };
    std::vector<PageIndex> order;
    for (std::uint32_t i = 0; i < kCount; ++i)
        order.push_back(PageIndex{strided ? i * kStride : i * 7919 % kPages});
    const auto pass = [&] {
        std::uint32_t bad = 0;
        for (const PageIndex page : order)
            bad += machine.verify(page) ? 0u : 1u;
        return bad;
    };
    throw_out();
    if (!strided) { // learns it
        REQUIRE(pass() == 0);
        throw_out();
    }
    const std::uint64_t read = read_on_demand(machine);
    CHECK(pass() == 0);
    // Until it is known, and where the chain began anew because a mark could not be left: window by window it takes 80.
    CHECK(read_on_demand(machine) - read < kCount / 32 / 2);
    const Origin origin = strided ? Origin::streams : Origin::successors;
    const PrefetchCounters counts = machine.backend->report().counters.prefetch;
    const std::uint64_t issued = counts.issued[index_of(origin)];
    CHECK(issued > kCount * 9 / 10);
    // Who comes while it is being read is counted as late, not as used.
    CHECK(counts.used[index_of(origin)] + counts.late[index_of(origin)] > issued * 9 / 10);
    CHECK(counts.used[index_of(origin)] <= issued);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("what was read on for a guest that went elsewhere leaves like any other page", "[sim]") {
    constexpr std::uint32_t kStride = 16, kPages = 20000;
    Machine machine(
        {.pages = kPages, .guest_limit = kPages, .nvme_pages = 2 * kPages, .qlc_pages = 0});
    for (std::uint32_t page = 0; page < kPages; ++page)
        machine.write(PageIndex{page});
    machine.set_guest_limit(200);
    REQUIRE(eventually([&] { return machine.memory->dram_pages() <= 200; }));
    machine.set_guest_limit(2000);
    for (std::uint32_t walk = 0; walk < 12; ++walk) // more than there are marks
        for (std::uint32_t i = 0; i < 70; ++i)
            REQUIRE(machine.verify(PageIndex{walk * 70 * kStride + i * kStride + walk % kStride}));
    REQUIRE(eventually([&] { return machine.pages_in(PageState::loading) == 0; }));
    machine.set_guest_limit(200);
    REQUIRE(eventually([&] { return machine.memory->dram_pages() <= 200; }));
    CHECK(machine.count_bad() == 0);
}

} // namespace
} // namespace tidemark::sim
