// SPDX-License-Identifier: GPL-2.0-or-later
//
// One named failure at a time: what the engine does about it, and what the guest sees.
#include "sim_machine.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <thread>

namespace tidemark::sim {
namespace {

using Touch = FakeMemory::Touch;
using Call = FakeMemory::Call;

// A page that is in a tier only.
PageIndex stored_page(Machine &machine) {
    for (std::uint32_t p = 0;; ++p) {
        REQUIRE(p < machine.backend->pages());
        if (!machine.memory->guest_present(PageIndex{p}) &&
            !machine.memory->shadow_present(PageIndex{p}))
            return PageIndex{p};
    }
}

std::uint64_t sum_of(const BackendReport &report) {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : report.pages)
        sum += count;
    return sum;
}

// A walk through all memory and back to its start, until there is enough of what it is to bring about.
bool walk_until(Machine &machine, const std::function<bool(const Counters &)> &enough) {
    return eventually([&] {
        CHECK(machine.count_bad() == 0);
        return enough(machine.backend->report().counters);
    });
}

TEST_CASE("DRAM never passes the limit", "[sim]") {
    for (const PolicyKind policy : {PolicyKind::lru, PolicyKind::lfu, PolicyKind::fifo}) {
        Machine machine({.policy = policy});
        machine.write_all();
        CHECK(machine.count_bad() == 0);
        CHECK(machine.memory->dram_peak() <= machine.guest_limit());
        CHECK(sum_of(machine.backend->report()) == machine.backend->pages());
    }
}

TEST_CASE("a walk through a large block is read ahead, within the limit", "[sim]") {
    Machine machine({.pages = 14000, .guest_limit = 9000, .nvme_pages = 14016, .qlc_pages = 0});
    machine.write_all();
    // 2 MiB at a time, or 64 KiB where eviction was slow.
    CHECK(machine.backend->report().counters.faults_untouched < 14000 / 8);
    CHECK(walk_until(machine, [](const Counters &c) { return c.readahead_used() > kRegionPages; }));
    const BackendReport report = machine.backend->report();
    CHECK(machine.memory->dram_peak() <= machine.guest_limit());
    CHECK(sum_of(report) == machine.backend->pages());
    // Each page was written once, when it left for the first time; and counted once.
    CHECK(report.tiers[0].written_bytes >= bytes_of(14000 - 9000));
    CHECK(report.tiers[0].written_bytes <= bytes_of(14000 + kRegionPages));
    // Pages that nobody comes for do not stay.
    CHECK(eventually([&] { return machine.pages_in(PageState::arrived) == 0; }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("pages scattered over a tier are read ahead from wherever they are", "[sim]") {
    Machine machine({.pages = 14000, .guest_limit = 9000, .nvme_pages = 28000, .qlc_pages = 0});
    machine.write_all();
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) // what leaves now is packed, not written home
        machine.write(PageIndex{static_cast<std::uint32_t>(random() % 14000)});
    CHECK(walk_until(machine, [](const Counters &c) { return c.readahead_used() > kRegionPages; }));
    const BackendReport report = machine.backend->report();
    // Every read of a page was one of its own slot.
    CHECK(report.tiers[0].checksum_errors == 0);
    // Few of the writes were of a page or two.
    const auto &sizes = report.tiers[0].write_sizes;
    const std::uint64_t all = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
    CHECK(sizes[0] + sizes[1] < all / 10);
}

TEST_CASE("a recorded working set comes back in its order, without faults", "[sim]") {
    Machine machine({.pages = 3000, .guest_limit = 1200, .nvme_pages = 6000, .qlc_pages = 0});
    machine.write_all();
    std::vector<std::uint32_t> job(400);
    for (std::uint32_t i = 0; i < job.size(); ++i)
        job[i] = i * 7;
    std::shuffle(job.begin(), job.end(), std::mt19937(3));
    const auto leave = [&] { // all that is cold, and the job's pages are
        machine.set_guest_limit(200);
        CHECK(eventually([&] { return machine.memory->dram_pages() <= 200; }));
        machine.set_guest_limit(1200);
        CHECK(eventually([&] {
            return machine.pages_in(PageState::staging) + machine.pages_in(PageState::writing) == 0;
        }));
        for (std::uint32_t page = 2900; page < 3000; ++page)
            CHECK(machine.verify(PageIndex{page}));
    };
    leave();
    CHECK_FALSE(machine.backend->stop_recording());
    REQUIRE(machine.backend->start_recording());
    CHECK_FALSE(machine.backend->start_recording());
    for (const std::uint32_t page : job)
        CHECK(machine.verify(PageIndex{page}));
    const auto runs = machine.backend->stop_recording();
    REQUIRE(runs);
    CHECK(runs->size() >= job.size() / 2);
    leave();
    REQUIRE(machine.backend->prefetch(*runs, {.origin = Origin::record}));
    const auto recorded = [&](std::uint32_t page) { // else it was in DRAM when the job came to it
        return std::any_of(runs->begin(), runs->end(), [page](const PageRun &run) {
            return page >= run.first.value && page < run.end().value;
        });
    };
    const auto missing =
        std::count_if(job.begin(), job.end(), [&](std::uint32_t page) { return !recorded(page); });
    // All but what was still in S, which needs no reading.
    CHECK(eventually([&] {
        const auto report = machine.backend->report();
        const auto pages = [&](PageState state) {
            return report.pages[static_cast<std::size_t>(state)];
        };
        const auto here = std::count_if(job.begin(), job.end(), [&](std::uint32_t page) {
            return recorded(page) && machine.memory->guest_present(PageIndex{page});
        });
        return report.queued_prefetch_pages == 0 && pages(PageState::loading) == 0 &&
               static_cast<std::uint64_t>(here + missing) + pages(PageState::staged) >= job.size();
    }));
    const std::uint64_t before = machine.backend->report().counters.faults_stored;
    for (const std::uint32_t page : job)
        CHECK(machine.verify(PageIndex{page}));
    CHECK(machine.backend->report().counters.faults_stored <=
          before + static_cast<std::uint64_t>(missing) + job.size() / 20);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("hot memory gets its huge pages back", "[sim]") {
    Machine machine({.pages = 14000, .guest_limit = 9000, .nvme_pages = 14016, .qlc_pages = 0});
    machine.write_all();
    constexpr std::uint32_t kHot = 4 * kRegionPages; // stored by now, and brought back one by one
    std::vector<std::uint32_t> order(kHot);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), std::mt19937(1)); // no stream to be seen
    for (const std::uint32_t page : order)
        CHECK(machine.verify(PageIndex{page}));
    CHECK(eventually([&] {
        std::uint32_t huge = 0;
        for (std::uint32_t page = 0; page < kHot; page += kRegionPages)
            huge += machine.memory->guest_huge(PageIndex{page}) ? 1 : 0;
        return huge == kHot / kRegionPages;
    }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a region that can't be read ahead is read by its faults", "[sim]") {
    Machine machine({.pages = 14000, .guest_limit = 9000, .nvme_pages = 14016, .qlc_pages = 0});
    machine.write_all();
    for (std::uint32_t page = 1000; page < 4000; page += 300) // at home, on the only tier
        machine.disks[0]->fail_reads_at(bytes_of(page), EIO, 1);
    CHECK(walk_until(machine, [](const Counters &c) { return c.readahead_used() > kRegionPages; }));
    CHECK(machine.backend->report().tiers[0].read_errors > 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a cut limit is reached, and a raised one used", "[sim]") {
    Machine machine({.guest_limit = 800});
    machine.write_all();
    machine.set_guest_limit(200);
    CHECK(eventually([&] { return machine.memory->dram_pages() <= 200; }));
    machine.memory->reset_dram_peak();
    CHECK(machine.count_bad() == 0);
    CHECK(machine.memory->dram_peak() <= 200);
    machine.set_guest_limit(800);
    CHECK(machine.count_bad() == 0);
    CHECK(machine.memory->dram_pages() > 200);
}

TEST_CASE("a guest under no pressure is not armed, and arming keeps its pages", "[sim]") {
    Machine machine({.pages = 1024, .guest_limit = 1024});
    CHECK_FALSE(machine.backend->report().armed);
    machine.write_all();
    CHECK(machine.backend->report().counters.faults == 0);
    machine.set_guest_limit(128);
    // The buffers count too, so that the limit in bytes may still be above the block's size.
    CHECK(machine.backend->report().armed);
    CHECK(eventually([&] { return machine.memory->dram_pages() <= 128; }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("zero and unchanged pages leave without a write", "[sim]") {
    Machine machine({});
    for (std::uint32_t p = 0; p < machine.backend->pages(); ++p)
        REQUIRE(machine.verify(PageIndex{p})); // reads zeros
    BackendReport report = machine.backend->report();
    CHECK(report.counters.zero_elided > 0);
    CHECK(report.tiers[0].written_bytes + report.tiers[1].written_bytes == 0);
    machine.write_all();
    CHECK(machine.count_bad() == 0);
    CHECK(machine.count_bad() == 0); // only reads since: a second round writes little that is new
    report = machine.backend->report();
    CHECK(report.counters.clean_elided > machine.backend->pages() / 2);
}

TEST_CASE("QLC is written in pieces of 256 KiB and no smaller", "[sim]") {
    Machine machine({.nvme_pages = 256});
    for (int round = 0; round < 3; ++round)
        machine.write_all();
    const BackendReport report = machine.backend->report();
    CHECK(report.tiers[1].written_bytes > 0);
    for (std::size_t bucket = 0; bucket < kWriteSizeBuckets; ++bucket)
        if ((std::uint64_t{1} << bucket) < kSegmentPages)
            CHECK(report.tiers[1].write_sizes[bucket] == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a full NVMe tier is relieved towards QLC", "[sim]") {
    Machine machine({.nvme_pages = 1280});
    machine.write_all();
    CHECK(eventually([&] {
        const BackendReport report = machine.backend->report();
        return report.counters.demoted_pages > 0 && report.tiers[0].used <= bytes_of(1280 / 8 * 7);
    }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a tier that fails writes is degraded, told of once, and used again when it works",
          "[sim]") {
    for (const int error : {EIO, ENOSPC}) {
        Machine machine({});
        machine.disks[0]->fail_writes(error, 1);
        machine.write_all();
        CHECK(eventually([&] { return machine.events_of(EventKind::tier_degraded) == 1; }));
        CHECK(machine.backend->report().tiers[0].write_errors == 1);
        // Carries on with the other tier, and probes the first one again after a while.
        CHECK(eventually([&] {
            machine.write_all();
            return machine.events_of(EventKind::tier_recovered) == 1;
        }));
        CHECK_FALSE(machine.backend->report().tiers[0].degraded);
        CHECK(machine.count_bad() == 0);
    }
}

TEST_CASE("with every tier failing, pages stay in DRAM and the guest waits", "[sim]") {
    Machine machine({});
    for (const auto &disk : machine.disks)
        disk->set_chances({.no_space = 1000});
    std::thread guest([&] { machine.write_all(); });
    CHECK(eventually([&] { return machine.events_of(EventKind::pressure) > 0; }));
    CHECK(machine.memory->dram_peak() <= machine.guest_limit());
    for (const auto &disk : machine.disks)
        disk->set_chances({});
    guest.join();
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a read error is retried before anyone hears of it", "[sim]") {
    Machine machine({.nvme_pages = 4096, .qlc_pages = 0});
    machine.write_all();
    for (std::uint64_t offset = 0; offset < bytes_of(4096); offset += kPageSize)
        machine.disks[0]->fail_reads_at(offset, EIO, 1);
    CHECK(machine.count_bad() == 0);
    CHECK(machine.backend->report().tiers[0].read_errors > 0);
    CHECK(machine.events_of(EventKind::page_held) == 0);
}

// Damages every stored page of the machine, so that the next fault on one is held.
void damage_all(Machine &machine) {
    for (std::uint64_t offset = 0; offset < bytes_of(4096); offset += kPageSize)
        machine.disks[0]->corrupt(offset);
}

TEST_CASE("a damaged page is held, never handed out; given up, the guest gets an error", "[sim]") {
    Machine machine({.nvme_pages = 4096, .qlc_pages = 0});
    machine.write_all();
    CHECK(eventually([&] { return machine.pages_in(PageState::stored) > 512; }));
    damage_all(machine);
    const PageIndex page = stored_page(machine);
    Touch outcome = Touch::done;
    std::thread guest([&] { outcome = machine.memory->touch(page, false, [](auto) {}); });
    CHECK(eventually([&] { return machine.events_of(EventKind::page_held) == 1; }));
    CHECK(machine.backend->held_pages() == 1);
    CHECK(machine.backend->report().tiers[0].checksum_errors >= Loader::kAttempts);
    std::array<std::byte, kPageSize> bytes;
    CHECK(machine.backend->read_page(page, bytes) == EIO);
    CHECK(machine.backend->resolve({page, 1}, false) == 1);
    guest.join();
    CHECK(outcome == Touch::poisoned);
    CHECK(machine.backend->held_pages() == 0);
    // A discarded page starts anew.
    machine.discard(page);
    CHECK(machine.verify(page));
}

TEST_CASE("a held page is read back by a retry once the disk works again", "[sim]") {
    Machine machine({.nvme_pages = 4096, .qlc_pages = 0});
    machine.write_all();
    CHECK(eventually([&] { return machine.pages_in(PageState::stored) > 512; }));
    const PageIndex page = stored_page(machine);
    machine.disks[0]->set_chances({.read_error = 1000});
    bool good = false;
    std::thread guest([&] { good = machine.verify(page); });
    CHECK(eventually([&] { return machine.events_of(EventKind::page_held) == 1; }));
    CHECK(machine.backend->resolve({page, 1}, true) == 1); // still broken: held again
    CHECK(eventually([&] { return machine.events_of(EventKind::page_held) == 2; }));
    machine.disks[0]->set_chances({});
    CHECK(machine.backend->resolve({PageIndex{0}, machine.backend->pages()}, true) == 1);
    guest.join();
    CHECK(good);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("pinned pages stay and are counted", "[sim]") {
    Machine machine({});
    for (std::uint32_t p = 0; p < 32; ++p) {
        machine.write(PageIndex{p});
        machine.memory->pin(PageIndex{p});
    }
    machine.write_all();
    machine.write_all();
    CHECK(machine.backend->report().counters.move_busy > 0);
    for (std::uint32_t p = 0; p < 32; ++p) {
        CHECK(machine.memory->guest_present(PageIndex{p}));
        machine.memory->unpin(PageIndex{p});
    }
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("discarded pages read as zero wherever they were", "[sim]") {
    Machine machine({});
    machine.write_all();
    for (std::uint32_t p = 0; p < machine.backend->pages(); p += 2)
        machine.discard(PageIndex{p});
    CHECK(machine.count_bad() == 0);
    // All at once, resident, staged and stored alike.
    machine.write_all();
    for (std::uint32_t p = 0; p < machine.backend->pages(); ++p)
        machine.forget(PageIndex{p});
    machine.backend->discard({PageIndex{0}, machine.backend->pages()});
    CHECK(eventually([&] { return machine.memory->dram_pages() == 0; }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a prefetch brings pages in and never passes the limit", "[sim]") {
    Machine machine({.guest_limit = 512});
    machine.write_all();
    machine.set_guest_limit(160);
    CHECK(eventually([&] { return machine.memory->dram_pages() <= 160; }));
    machine.set_guest_limit(700);
    REQUIRE(machine.prefetch({PageIndex{0}, 256}, {}));
    CHECK(eventually([&] { return machine.prefetched(Origin::request) > 64; }));
    CHECK(machine.memory->dram_pages() <= 700);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("metadata stays within 24 bytes a page", "[sim]") {
    Machine machine({.pages = 8192, .guest_limit = 1024, .nvme_pages = 8192, .qlc_pages = 16384});
    machine.write_all();
    CHECK(machine.count_bad() == 0);
    CHECK(machine.backend->report().metadata_bytes <= 24 * 8192);
}

} // namespace
} // namespace tidemark::sim
