// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is learnt from an engine: that it tells what it should, and that figures come out right at the other end.
#include "predict/learner.h"
#include "predict/sealed_bytes.h"
#include "sim_machine.h"

#include <algorithm>
#include <bit>

namespace tidemark::sim {
namespace {

// A profiler that looks when it is told to, at times that the test says.
struct Watcher {
    explicit Watcher(Machine &watched) : machine(watched), profiler(watched.backend->pages()) {}

    ProfileReport look(double now) {
        std::vector<Access> accesses;
        machine.backend->take_accesses(accesses, std::chrono::milliseconds(0));
        profiler.note(accesses);
        std::vector<std::uint16_t> resident, staged;
        machine.backend->by_region(resident, staged);
        Residency known;
        known.watching = true;
        known.resident = resident;
        known.staged = staged;
        known.resident_pages = machine.pages_in(PageState::resident);
        known.staged_pages = machine.pages_in(PageState::staged);
        profiler.tick(now, known);
        return profiler.report();
    }
    Machine &machine;
    Profiler profiler;
};

void set_learn(Machine &machine, bool on) {
    BackendConfig config = machine.backend->config();
    config.learn = on;
    REQUIRE(machine.backend->configure(config));
}

bool on_probation(Machine &machine, PageIndex page) {
    return !machine.memory->guest_present(page) && machine.memory->shadow_present(page);
}

TEST_CASE(
    "of huge memory that comes back from probation, the true working set is between the figures") {
    Setup setup;
    setup.pages = 20 * kRegionPages;
    setup.guest_limit = 18 * kRegionPages;
    setup.nvme_pages = 24 * kRegionPages;
    setup.qlc_pages = 0;
    setup.nvme_budget = 1; // but for a batch, what goes on probation stays there
    Machine machine(setup);
    Watcher watcher(machine);
    constexpr std::uint32_t kUsed = 14 * kRegionPages;
    for (std::uint32_t p = 0; p < kUsed; ++p)
        machine.write(PageIndex{p});
    watcher.look(1);
    BackendConfig config = machine.backend->config();
    config.cold_age = 1;
    REQUIRE(machine.backend->configure(config));
    REQUIRE(eventually([&] {
        return machine.pages_in(PageState::resident) == 0 &&
               machine.pages_in(PageState::staged) >= 2 * kRegionPages;
    }));
    config.reclaim_slowdown = 0; // no more of it goes there
    REQUIRE(machine.backend->configure(config));
    watcher.look(700); // the first touches are out of every window
    std::uint32_t regions = 0;
    for (std::uint32_t p = 100; p < kUsed; p += kRegionPages) {
        if (!on_probation(machine, PageIndex{p}))
            continue;
        CHECK(machine.verify(PageIndex{p}));
        REQUIRE(machine.memory->guest_huge(PageIndex{p}));
        ++regions;
    }
    REQUIRE(regions >= 2);
    const ProfileReport report = watcher.look(701);
    for (const WorkingSetSize &size : report.working_set) {
        // One page of each was used for sure, and it may have been any number of them.
        CHECK(size.seen_pages <= 16 * regions); // one page in 16 is counted, for all 16
        CHECK(size.estimate_pages + size.untested_pages >= regions * kRegionPages * 49 / 50);
    }
    CHECK(watcher.profiler.heat(13) > 400);
    CHECK(report.workload.workload != WorkloadClass::idle);
}

TEST_CASE("what was brought in and then mapped is like any other page once it is on probation") {
    constexpr std::uint32_t kOrdered = 1024, kWalked = 2048;
    Machine machine({.pages = 4000,
                     .guest_limit = 1000,
                     .nvme_pages = 8000,
                     .qlc_pages = 0,
                     .nvme_budget = 1}); // what goes on probation without pressure stays there
    machine.write_all();
    machine.set_guest_limit(200);
    REQUIRE(eventually([&] { return machine.memory->dram_pages() <= 200; }));
    machine.set_guest_limit(3600);
    const PrefetchTerms terms{.origin = Origin::network, .confidence = 0.9F};
    REQUIRE(machine.prefetch({PageIndex{0}, kOrdered}, terms));
    REQUIRE(eventually([&] {
        return machine.backend->report().queued_prefetch_pages == 0 &&
               machine.pages_in(PageState::loading) == 0;
    }));
    std::uint64_t visible = 0; // uses of what was ordered, at most
    for (std::uint32_t p = 0; p < kOrdered; ++p)
        visible += is_watched(PageIndex{p}, terms);
    REQUIRE(machine.prefetched(Origin::network) > 4 * visible);
    for (std::uint32_t p = kOrdered; p < kWalked; ++p)
        REQUIRE(machine.verify(PageIndex{p}));
    REQUIRE(machine.prefetched(Origin::streams) > (kWalked - kOrdered) * 3 / 4);
    for (std::uint32_t p = kOrdered; p < kWalked; p += kRegionPages)
        machine.discard(PageIndex{p + 100}); // or all of the region would return at its first use

    BackendConfig config = machine.backend->config();
    config.cold_age = 1;
    REQUIRE(machine.backend->configure(config));
    REQUIRE(eventually([&] { return machine.pages_in(PageState::resident) == 0; }));
    config.reclaim_slowdown = 0; // no more of it goes there
    REQUIRE(machine.backend->configure(config));
    const std::uint64_t back = machine.backend->report().counters.faults_staged;
    for (std::uint32_t p = 0; p < kWalked; ++p) // in no order that read-ahead knows
        REQUIRE(machine.verify(PageIndex{p * 1021 % kWalked}));
    const Counters counters = machine.backend->report().counters;
    CHECK(counters.faults_staged - back > kWalked * 3 / 4);
    const PrefetchCounters &counts = counters.prefetch;
    CHECK(counts.used[index_of(Origin::network)] <= visible);
    CHECK(counts.used[index_of(Origin::streams)] <= counts.issued[index_of(Origin::streams)]);
}

TEST_CASE("zeros that come along with a region read ahead are no pages read ahead") {
    Setup setup;
    setup.pages = 40 * kRegionPages;
    setup.guest_limit = 18 * kRegionPages;
    setup.nvme_pages = 48 * kRegionPages;
    setup.qlc_pages = 0;
    Machine machine(setup);
    for (std::uint32_t p = 0; p < setup.pages; ++p)
        if (p % kRegionPages < 460)
            machine.write(PageIndex{p});
    for (int pass = 0; pass < 2; ++pass)
        for (std::uint32_t p = 0; p < setup.pages; ++p)
            REQUIRE(machine.verify(PageIndex{p}));
    const BackendReport report = machine.backend->report();
    CHECK(report.counters.prefetch.issued[index_of(Origin::streams)] > 0); // regions read ahead
    CHECK(report.counters.prefetch.used[index_of(Origin::streams)] <=
          report.counters.prefetch.issued[index_of(Origin::streams)]);
}

TEST_CASE("being read for a dump makes no page younger") {
    Setup setup;
    setup.pages = 20 * kRegionPages;
    setup.guest_limit = 18 * kRegionPages;
    setup.nvme_pages = 24 * kRegionPages;
    Machine machine(setup);
    for (std::uint32_t p = 0; p < kRegionPages; ++p)
        machine.write(PageIndex{p});
    BackendConfig config = machine.backend->config();
    config.cold_age = 16; // four of the stamps' units
    REQUIRE(machine.backend->configure(config));
    bool right = true;
    CHECK(eventually([&] {
        for (std::uint32_t p = 0; p < kRegionPages; ++p)
            right = machine.reads_right(PageIndex{p}) && right;
        return machine.pages_in(PageState::resident) == 0;
    }));
    CHECK(right);
}

TEST_CASE("who learns is told that there was a time of which nothing is known") {
    Machine machine(Setup{});
    std::vector<Access> accesses;
    const auto lost = [&] {
        return machine.backend->take_accesses(accesses, std::chrono::milliseconds(0));
    };
    CHECK(lost() == 0);
    set_learn(machine, false);
    machine.write_all();
    CHECK(lost() == 0);
    set_learn(machine, true);
    CHECK(lost() == 1);
    CHECK(lost() == 0);
    // However short it was: so that pages are ordered that left meanwhile, see "accesses were lost" in
    // tournament_test.cc.
    Learner learner(*machine.backend);
    const auto reported = [&] {
        const auto report = learner.report();
        return report ? report->profile.lost_accesses : 0;
    };
    set_learn(machine, false);
    set_learn(machine, true);
    CHECK(eventually([&] { return reported() == 1; }));
}

TEST_CASE("writes that raise no fault reach the profile from who sees them") {
    Machine machine(Setup{});
    Learner learner(*machine.backend);
    const auto profile = [&] {
        const auto report = learner.report();
        return report ? report->profile : ProfileReport{};
    };
    REQUIRE(eventually([&] { return profile().seconds > 0; }));
    CHECK_FALSE(profile().writes_reported);
    learner.note_writes(std::vector<std::uint16_t>{0, 0, 0});
    REQUIRE(eventually([&] { return profile().writes_reported; }));
    CHECK(profile().written_pages_per_second == 0);
    CHECK(profile().working_set[2].seen_pages == 0);
    learner.note_writes(std::vector<std::uint16_t>{0, 100, 0, 7}); // one more than there are
    learner.note_writes(std::vector<std::uint16_t>{0, 50});
    REQUIRE(eventually([&] { return profile().written_pages_per_second > 0; }));
    CHECK(profile().working_set[2].seen_pages >= 100);
    CHECK(profile().working_set[2].seen_pages <= 150);
}

// What Learner::save() gives: of phases one that was seen once, and of a network what it has after some seconds.
std::vector<std::byte> learnt(std::uint32_t pages, std::uint32_t horizon) {
    PhaseStore store(pages);
    Footprint used(store.blocks());
    for (std::uint32_t page = 0; page < 256; ++page)
        used.add(PageIndex{page});
    store.add(used, 1);
    ByteWriter phases;
    store.encode(phases, 0);
    auto network = Network::make(pages, horizon);
    REQUIRE(network);
    const std::vector<float> heat{100, 0, 100};
    for (int second = 0; second < 8; ++second)
        (*network)->observe({double(second), 1, {}, heat});
    ByteWriter all;
    all.put(bytes_of(pages));
    for (const auto &part :
         {phases.sealed({"TMPHASE\n", 2, "record of phases"}), (*network)->save()}) {
        all.put(static_cast<std::uint32_t>(part.size()));
        for (const std::byte one : part)
            all.put(std::to_integer<std::uint8_t>(one));
    }
    return all.sealed({"TMLEARN\n", 1, "file of what was learnt"});
}

TEST_CASE("phases are kept when the network's horizon is another one") {
    Machine machine(Setup{});
    const auto file = learnt(machine.backend->pages(), 10);
    const auto look_ahead = [&](Learner &learner, std::uint32_t asked, std::uint32_t wanted) {
        BackendConfig config = machine.backend->config();
        config.prefetch_window = asked;
        REQUIRE(machine.backend->configure(config));
        CHECK(eventually([&] {
            const auto report = learner.report();
            return report && report->horizon == wanted;
        }));
    };
    const auto size_of_phases = [](Learner &learner) {
        auto bytes = learner.save();
        auto content = open_sealed(bytes, {"TMLEARN\n", 1, ""});
        REQUIRE(content);
        content->get<std::uint64_t>();
        return content->get<std::uint32_t>();
    };
    Learner learner(*machine.backend);
    CHECK(size_of_phases(learner) == 0);
    look_ahead(learner, 20, 20);
    CHECK(learner.restore(file));
    CHECK(size_of_phases(learner) != 0);
    // Out of what it can do it takes the nearest, and says so.
    look_ahead(learner, 1, 5);
    look_ahead(learner, 3600, 30);
    look_ahead(learner, 10, 10);
    CHECK(size_of_phases(learner) != 0);
    CHECK(learner.restore(file));
    // A network that is damaged is no network of another horizon.
    auto damaged = file;
    damaged[damaged.size() - 20] ^= std::byte{1};
    CHECK_FALSE(learner.restore(damaged));
}

} // namespace
} // namespace tidemark::sim
