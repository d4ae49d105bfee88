// SPDX-License-Identifier: GPL-2.0-or-later
//
// What happens before a page is asked for, and after nobody asks any more: orders in the prefetch queue, pages
// that wait on probation, cold pages that leave although there is room, and what is told of it.
#include "sim_machine.h"

#include <algorithm>

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
    machine.write_all(); // turns DRAM over: the others leave as they came
    CHECK(eventually(
        [&] { return count_of(prefetch_counters(machine).wasted, Origin::network) > 0; }));
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

// Everything that the log has of a run of the machine, in its order.
std::vector<Access> logged(Machine &machine) {
    std::vector<Access> accesses;
    machine.backend->take_accesses(accesses, std::chrono::milliseconds(0));
    return accesses;
}

TEST_CASE("the log tells of touches, reads and leavings, writes apart from reads", "[sim]") {
    Machine machine(Setup{.pages = 800, .guest_limit = 200});
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

} // namespace
} // namespace tidemark::sim
