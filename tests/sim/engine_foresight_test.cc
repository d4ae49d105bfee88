// SPDX-License-Identifier: GPL-2.0-or-later
//
// What happens before a page is asked for, and after nobody asks any more: orders in the prefetch queue, pages
// that wait on probation, cold pages that leave although there is room, and what is told of it.
#include "sim_machine.h"

#include <algorithm>
#include <atomic>
#include <catch2/generators/catch_generators.hpp>
#include <thread>

namespace tidemark::sim {
namespace {

std::uint64_t count_of(const PrefetchCounters::PerOrigin &counts, Origin origin) {
    return counts[index_of(origin)];
}

PrefetchCounters prefetch_counters(Machine &machine) {
    return machine.backend->report().counters.prefetch;
}

// The first stored pages of the block, 32 at least.
PageRun stored_run(Machine &machine) {
    PageRun run;
    for (std::uint32_t p = 0; p < 1024 && run.count < 64; ++p) {
        if (!machine.memory->guest_present(PageIndex{p}) &&
            !machine.memory->shadow_present(PageIndex{p})) {
            if (run.count == 0)
                run.first = PageIndex{p};
            ++run.count;
        } else if (run.count < 32) {
            run = {};
        } else {
            break;
        }
    }
    return run;
}

TEST_CASE("an unsure order brings pages to S, where their first use is seen", "[sim]") {
    Machine machine(Setup{});
    machine.write_all();
    const PageRun run = stored_run(machine);
    REQUIRE(run.count >= 32);
    REQUIRE(machine.prefetch(run, {.origin = Origin::network, .confidence = 0.3F}));
    REQUIRE(eventually([&] { return machine.prefetched(Origin::network) >= 32; }));
    // In S, and known to be there: who comes while it is being brought is counted as late.
    REQUIRE(eventually([&] {
        return machine.memory->shadow_present(run.first.next(8)) &&
               machine.pages_in(PageState::loading) == 0;
    }));
    CHECK_FALSE(machine.memory->guest_present(run.first.next(8)));
    const std::uint64_t read = machine.backend->report().counters.faults_stored;
    CHECK(machine.verify(run.first.next(8)));
    CHECK(machine.backend->report().counters.faults_stored == read);
    CHECK(count_of(prefetch_counters(machine).used, Origin::network) == 1);
    // What else is used turns DRAM over: the others leave as they came.
    CHECK(eventually([&] {
        for (std::uint32_t p = 0; p < 1536; ++p)
            if (PageIndex{p} < run.first || PageIndex{p} >= run.end())
                machine.write(PageIndex{p});
        return count_of(prefetch_counters(machine).wasted, Origin::network) > 0;
    }));
    CHECK(count_of(prefetch_counters(machine).used, Origin::network) == 1);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("an order of an operator is mapped", "[sim]") {
    Machine machine(Setup{});
    machine.write_all();
    const PageRun run = stored_run(machine);
    REQUIRE(run.count >= 32);
    REQUIRE(machine.prefetch(run, {}));
    CHECK(eventually([&] { return machine.memory->guest_present(run.first.next(8)); }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("an order that comes too late is not served, and counted", "[sim]") {
    Machine machine(Setup{});
    machine.write_all();
    REQUIRE(machine.prefetch({PageIndex{0}, 64}, {.until = Clock::now()}));
    CHECK(eventually([&] { return machine.backend->report().counters.prefetch_declined == 64; }));
    CHECK(machine.prefetched(Origin::request) == 0);
}

TEST_CASE("one order does not turn all of DRAM over", "[sim]") {
    Machine machine(Setup{.guest_limit = 160});
    machine.write_all();
    REQUIRE(machine.prefetch({PageIndex{0}, 1536}, {}));
    CHECK(eventually([&] { return machine.backend->report().counters.prefetch_declined > 0; }));
    CHECK(machine.backend->report().queued_prefetch_pages == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("what is too unsure for DRAM comes from QLC up to NVMe", "[sim]") {
    Setup setup;
    setup.nvme_pages = 256;
    Machine machine(setup);
    machine.write_all(); // far more than NVMe holds
    REQUIRE(eventually([&] { return machine.backend->report().counters.demoted_pages != 0; }));
    machine.set_guest_limit(900); // what returns to DRAM leaves room in NVMe
    CHECK(machine.count_bad() == 0);
    machine.set_guest_limit(384);
    const auto promoted = [&] { return machine.backend->report().counters.promoted_pages; };
    CHECK(eventually([&] {
        machine.prefetch({PageIndex{0}, 1536}, {.origin = Origin::network, .confidence = 0.05F});
        return promoted() != 0;
    }));
    CHECK(machine.prefetched(Origin::network) == 0);
    CHECK(machine.count_bad() == 0);
}

// Memory that was written and has left DRAM, but for a few pages at its end; and room for it.
struct Evicted {
    static constexpr std::uint32_t kPages = 4000;
    Evicted() {
        machine.write_all();
        machine.set_guest_limit(200);
        REQUIRE(eventually([&] { return machine.memory->dram_pages() <= 200; }));
        machine.set_guest_limit(3600);
    }
    std::uint64_t loading() { return machine.pages_in(PageState::loading); }
    bool done() { return machine.backend->report().queued_prefetch_pages == 0 && loading() == 0; }
    Machine machine{
        {.pages = kPages, .guest_limit = 1000, .nvme_pages = 2 * kPages, .qlc_pages = 0}};
};

TEST_CASE("an order that goes to and fro between extents is read in few requests", "[sim]") {
    Evicted evicted;
    Machine &machine = evicted.machine;
    std::vector<PageRun> runs;
    for (std::uint32_t i = 0; i < 256; ++i)
        for (std::uint32_t extent = 0; extent < 4; ++extent)
            runs.push_back({PageIndex{extent * 800 + i}, 1});
    const std::uint64_t reads = machine.disks[0]->reads();
    REQUIRE(machine.backend->prefetch(runs, {.origin = Origin::record}));
    REQUIRE(eventually([&] { return evicted.done(); }));
    const std::uint64_t brought = machine.prefetched(Origin::record);
    CHECK(brought > 900);
    CHECK(machine.disks[0]->reads() - reads <= brought / 16);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("batches are small while the guest waits for a read, and large while it does not",
          "[sim]") {
    Evicted evicted;
    Machine &machine = evicted.machine;
    machine.disks[0]->hold();
    REQUIRE(machine.prefetch({PageIndex{0}, 1024}, {}));
    CHECK(eventually([&] { return evicted.loading() == Loader::kMostPages; }));
    machine.disks[0]->let_go();
    REQUIRE(eventually([&] { return evicted.done(); }));

    machine.disks[0]->hold();
    std::atomic<bool> good{false};
    std::thread guest([&] { good = machine.verify(PageIndex{3000}); });
    CHECK(eventually([&] { return evicted.loading() != 0; }));
    const std::uint64_t asked = evicted.loading();
    CHECK(machine.prefetch({PageIndex{1100}, 1024}, {}));
    CHECK(eventually([&] { return evicted.loading() > asked; }));
    CHECK(evicted.loading() - asked < Loader::kMostPages / 4);
    machine.disks[0]->let_go();
    guest.join();
    CHECK(good);
    CHECK(eventually([&] { return evicted.done(); }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("pages that two orders have are read once", "[sim]") {
    Evicted evicted;
    Machine &machine = evicted.machine;
    const std::uint64_t read = machine.backend->report().tiers[0].read_bytes;
    REQUIRE(machine.prefetch({PageIndex{0}, 1024}, {.origin = Origin::network}));
    REQUIRE(machine.prefetch({PageIndex{512}, 1024}, {}));
    REQUIRE(eventually([&] { return evicted.done(); }));
    const std::uint64_t brought =
        machine.prefetched(Origin::network) + machine.prefetched(Origin::request);
    CHECK(brought <= 1536);
    CHECK(machine.backend->report().tiers[0].read_bytes - read == bytes_of(brought));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a huge order of pages that need no read lets others at the lock in between", "[sim]") {
    Machine machine({.pages = 1u << 16, .guest_limit = 1000, .nvme_pages = 1000, .qlc_pages = 0});
    const std::vector<PageRun> runs(60, PageRun{PageIndex{0}, 1u << 16}); // never touched
    CHECK(eventually([&] {
        REQUIRE(machine.backend->prefetch(runs, {}));
        for (bool between = false;;) {
            const std::uint64_t left = machine.backend->report().queued_prefetch_pages;
            CHECK(left % PrefetchQueue::kStepsMost == 0); // no hold of the lock does more
            if (left == 0)
                return between;
            between = between || left < 60ull << 16;
        }
    }));
}

// Everything that the log has of a run of the machine, in its order.
std::vector<Access> logged(Machine &machine) {
    std::vector<Access> accesses;
    machine.backend->take_accesses(accesses, std::chrono::milliseconds(0));
    return accesses;
}

TEST_CASE("the log tells of touches, reads and leavings, writes apart from reads", "[sim]") {
    Machine machine(Setup{.pages = 1200, .guest_limit = 200});
    machine.write(PageIndex{5});
    const std::vector<Access> first = logged(machine);
    REQUIRE(first.size() == 1);
    CHECK(first[0].first == PageIndex{5});
    CHECK(first[0].kind == AccessKind::first_touch);
    CHECK(first[0].write);
    machine.write_all();
    logged(machine);
    std::uint32_t gone = 0;
    while (machine.memory->guest_present(PageIndex{gone}) ||
           machine.memory->shadow_present(PageIndex{gone}))
        ++gone;
    CHECK(machine.verify(PageIndex{gone}));
    const std::vector<Access> later = logged(machine);
    CHECK(std::any_of(later.begin(), later.end(), [gone](const Access &access) {
        return access.first == PageIndex{gone} && access.kind == AccessKind::stored &&
               !access.write;
    }));
    BackendConfig config = machine.backend->config();
    config.learn = false;
    REQUIRE(machine.backend->configure(config));
    CHECK(machine.count_bad() == 0);
    CHECK(logged(machine).empty());
}

// More DRAM than the guest uses, and memory that counts as cold after a second or a few.
Setup roomy() {
    Setup setup;
    setup.pages = 20 * kRegionPages;
    setup.guest_limit = 18 * kRegionPages;
    setup.nvme_pages = 24 * kRegionPages;
    return setup;
}

void set_reclaim(Machine &machine, std::uint32_t slowdown) {
    BackendConfig config = machine.backend->config();
    config.cold_age = 1;
    config.reclaim_slowdown = slowdown;
    REQUIRE(machine.backend->configure(config));
}

std::uint64_t in_dram(Machine &machine) {
    return machine.pages_in(PageState::resident) + machine.pages_in(PageState::staged) +
           machine.pages_in(PageState::writing);
}

TEST_CASE("what nobody uses leaves DRAM without pressure", "[sim]") {
    Machine machine(roomy());
    set_reclaim(machine, 20);
    for (std::uint32_t p = 0; p < 2 * kRegionPages; ++p)
        machine.write(PageIndex{p});
    CHECK(eventually([&] { return in_dram(machine) == 0; }));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("with reclaim off it stays", "[sim]") {
    Machine machine(roomy());
    set_reclaim(machine, 0);
    for (std::uint32_t p = 0; p < kRegionPages; ++p)
        machine.write(PageIndex{p});
    const auto end = Clock::now() + std::chrono::seconds(9); // longer than the stamps are coarse
    while (Clock::now() < end)
        REQUIRE(machine.backend->report().counters.evicted_pages == 0);
}

TEST_CASE("a record has what was in DRAM all the time, if it is used", "[sim]") {
    Machine machine(roomy());
    set_reclaim(machine, 0);
    constexpr std::uint32_t kUsed = 4 * kRegionPages;
    for (std::uint32_t p = 0; p < kUsed; ++p)
        machine.write(PageIndex{p});
    REQUIRE(machine.backend->start_recording());
    // All of it is put to the test, huge pages as a whole, and none of it leaves DRAM for that.
    REQUIRE(eventually([&] { return machine.pages_in(PageState::staged) == kUsed; }));
    for (const std::uint32_t region : {1u, 3u})
        CHECK(machine.verify(PageIndex{region * kRegionPages + 5}));
    REQUIRE(eventually([&] { return machine.pages_in(PageState::resident) == kUsed / 2; }));
    const auto runs = machine.backend->stop_recording();
    REQUIRE(runs);
    std::vector<std::uint32_t> recorded(4);
    for (const PageRun run : *runs)
        for (PageIndex page = run.first; page < run.end(); page = page.next())
            ++recorded[page.value / kRegionPages];
    CHECK(recorded == std::vector<std::uint32_t>{0, kRegionPages, 0, kRegionPages});
    CHECK(machine.backend->report().counters.evicted_pages == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a huge page on probation returns whole at its first use", "[sim]") {
    Setup setup = roomy();
    setup.nvme_budget =
        1; // the first few batches of the day are the last: the others stay on probation
    setup.qlc_pages = 0;
    Machine machine(setup);
    set_reclaim(machine, 20);
    for (std::uint32_t p = 0; p < 14 * kRegionPages; ++p)
        machine.write(PageIndex{p});
    REQUIRE(eventually([&] {
        return machine.pages_in(PageState::staged) >= 2 * kRegionPages &&
               machine.pages_in(PageState::resident) == 0 &&
               machine.backend->report().counters.evicted_pages != 0;
    }));
    const std::uint32_t page = 14 * kRegionPages - 7; // of the last region that went
    REQUIRE_FALSE(machine.memory->guest_present(PageIndex{page}));
    const std::uint64_t faults = machine.backend->report().counters.faults;
    CHECK(machine.verify(PageIndex{page}));
    CHECK(machine.memory->guest_huge(PageIndex{page}));
    CHECK(machine.verify(PageIndex{page - 100}));
    CHECK(machine.backend->report().counters.faults == faults + 1);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a tier over its budget gets only what must be written") {
    constexpr std::uint32_t kUsed = 6 * kRegionPages;
    const bool both = GENERATE(false, true);
    Setup setup = roomy();
    setup.nvme_budget = bytes_of(kRegionPages);
    setup.qlc_budget = both ? 1 : 0;
    setup.qlc_pages = 24 * kRegionPages;
    Machine machine(setup);
    set_reclaim(machine, 20);
    for (std::uint32_t p = 0; p < kUsed; ++p)
        machine.write(PageIndex{p});
    const auto written = [&](std::size_t tier) {
        return machine.backend->report().tiers[tier].written_bytes;
    };
    // NVMe's budget is one batch, and the one that begins before it is used up may pass it.
    constexpr std::uint64_t kMostNvme = bytes_of(2 * kRegionPages);
    if (!both) {
        REQUIRE(eventually([&] { return in_dram(machine) == 0; }));
        CHECK(written(0) > 0);
        CHECK(written(0) <= kMostNvme);
        CHECK(written(1) >= bytes_of(kUsed) - kMostNvme);
        CHECK(machine.count_bad() == 0);
        return;
    }
    // QLC's allows one batch, too: what is left stays on probation,
    REQUIRE(eventually([&] {
        return machine.pages_in(PageState::resident) == 0 &&
               machine.pages_in(PageState::writing) == 0 && written(1) > 0;
    }));
    CHECK(machine.pages_in(PageState::staged) >= kUsed - 3 * kRegionPages);
    CHECK(written(0) <= kMostNvme);
    CHECK(written(1) <= bytes_of(kRegionPages + kSegmentPages));
    // until DRAM is short.
    machine.set_guest_limit(kRegionPages);
    CHECK(eventually([&] { return in_dram(machine) <= kRegionPages; }));
    CHECK(written(0) + written(1) >= bytes_of(kUsed - kRegionPages));
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("nothing comes up to an NVMe tier that is over its budget") {
    Setup setup;
    setup.nvme_pages = 256;
    setup.nvme_budget = 1;
    Machine machine(setup);
    machine.write_all(); // because it must be
    REQUIRE(eventually([&] { return machine.backend->report().counters.demoted_pages != 0; }));
    machine.set_guest_limit(900); // what returns to DRAM leaves room in NVMe
    CHECK(machine.count_bad() == 0);
    machine.set_guest_limit(384);
    const bool asked_for = GENERATE(false, true);
    const std::uint64_t declined = machine.backend->report().counters.prefetch_declined;
    REQUIRE(machine.prefetch(
        {PageIndex{0}, 1536},
        {.to_dram = !asked_for, .origin = Origin::network, .confidence = asked_for ? 1 : 0.05F}));
    CHECK(eventually(
        [&] { return machine.backend->report().counters.prefetch_declined == declined + 1536; }));
    CHECK(machine.backend->report().counters.promoted_pages == 0);
    CHECK(machine.count_bad() == 0);
}

} // namespace
} // namespace tidemark::sim
