// SPDX-License-Identifier: GPL-2.0-or-later
//
// The arbiter on guests: that what a new one is told to start with is there before it starts.
#include "daemon/budget_loop.h"
#include "guests_bench.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <fstream>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

struct BudgetBench : GuestsBench {
    BudgetBench() {
        // Between rounds, however long the test takes.
        of.period = std::chrono::hours(1);
        of.pressure_file = dir / "nowhere";
        of.prepared = [this] { return prepared; };
    }
    ~BudgetBench() override {
        end(); // guests tell the loop that they go
        loop.reset();
    }
    std::uint64_t granted() const {
        std::uint64_t sum = 0;
        for (const Guest *guest : guests->all())
            sum += guest->granted != 0 ? guest->granted : guest->dram_limit();
        return sum;
    }

    BudgetOptions of;
    // A guest that waits for a tier all the time, and DRAM that would save it that.
    std::unique_ptr<SimulatedGuest> boot_hungry() {
        auto hungry = boot(kWeb, "web");
        hungry->profile[0]["refaults-per-second"] = 1000;
        hungry->profile[0]["more-dram"] = {
            {{"bytes", kGiB / 4}, {"saved-waits", 1}, {"saved-refaults", 1}}};
        hungry->qemu->answer("query-tiered-memory", [guest = hungry.get()](const json &) {
            json &refaults = guest->stats[0]["counters"]["refaults"];
            refaults = refaults.get<std::uint64_t>() + 1000;
            return json{{"return", guest->stats}};
        });
        of.bytes = kGiB;
        of.period = std::chrono::milliseconds(10);
        return hungry;
    }
    void write_pressure(const std::string &text) {
        of.pressure_file = dir / "memory";
        std::ofstream(of.pressure_file) << text;
    }
    // So many rounds from now on.
    bool rounds(std::uint64_t more) {
        const std::uint64_t wanted = loop->state().rounds + more;
        return until([&] { return loop->state().rounds >= wanted; });
    }

    std::vector<PreparedGuest> prepared;
    std::unique_ptr<BudgetLoop> loop;
};

} // namespace

TEST_CASE("room for a guest that starts at its floor is made before it starts") {
    BudgetBench bench;
    auto web = bench.boot(kWeb, "web"), db = bench.boot(kDb, "db");
    bench.of.bytes = kGiB / 2; // all of what both start with
    bench.loop = std::make_unique<BudgetLoop>(bench.io, *bench.guests, bench.of);
    REQUIRE(bench.granted() == kGiB / 2);

    const std::uint64_t floor = 128 * kMiB;
    bench.prepared.push_back({"cccccccc-2222-3333-4444-555555555555", kGiB, floor});
    bench.loop->make_room();
    CHECK(bench.granted() + floor <= kGiB / 2);
    CHECK(bench.granted() + floor > kGiB / 2 - 8 * kMiB); // and no more than that
    CHECK(bench.loop->state().limits <= kGiB / 2);
    // It reaches the QEMUs, too.
    REQUIRE(bench.until([&] {
        std::uint64_t limits = floor;
        for (const Guest *guest : bench.guests->all())
            limits += guest->dram_limit();
        return limits <= kGiB / 2;
    }));

    // Again: nothing has to move, so nothing does.
    const auto rounds = bench.loop->state().rounds;
    bench.loop->make_room();
    CHECK(bench.loop->state().rounds == rounds);

    // Those that run are not counted twice.
    bench.prepared.push_back({kWeb, kGiB, kGiB / 4});
    bench.loop->make_room();
    CHECK(bench.loop->state().rounds == rounds);
}

TEST_CASE("a guest is idle if it can have used next to nothing, not if next to nothing was seen") {
    Guest guest;
    guest.stats.resize(1);
    guest.stats[0].dram_used = kGiB;
    CHECK_FALSE(use_of_dram(guest, 0).idle); // nothing is known of it
    guest.profile.resize(1);
    BackendProfile &profile = guest.profile[0];
    CHECK_FALSE(use_of_dram(guest, 0).idle);
    profile.watching = true;
    profile.working_set = {{10, kMiB, 2 * kMiB, 0}, {60, kGiB, kGiB, 0}};
    CHECK(use_of_dram(guest, 0).idle);
    profile.working_set[0] = {10, kMiB, kGiB / 2, 0}; // samples say that it is busy
    CHECK_FALSE(use_of_dram(guest, 0).idle);
    profile.working_set[0] = {10, kMiB, 2 * kMiB, kGiB / 2}; // of half of it nothing is known
    CHECK_FALSE(use_of_dram(guest, 0).idle);
    profile.working_set[0] = {10, 0, 0, 0};
    profile.watching = false; // so no wonder
    CHECK_FALSE(use_of_dram(guest, 0).idle);
}

TEST_CASE("a guest that stands still is idle, and wants nothing") {
    Guest guest;
    guest.stats.resize(1);
    guest.stats[0].dram_used = guest.stats[0].dram_limit = kGiB;
    guest.profile.resize(1);
    guest.profile[0].watching = true;
    guest.profile[0].working_set = {{10, kGiB, kGiB, 0}};
    guest.profile[0].refaults_per_second = 1000;
    guest.profile[0].more_dram = {{kGiB, 1, 1}};
    CHECK_FALSE(use_of_dram(guest, 1000).idle);
    CHECK(gains_of(use_of_dram(guest, 1000)).back().faults == 1000);
    guest.paused = true;
    CHECK(use_of_dram(guest, 1000).idle);
    CHECK(gains_of(use_of_dram(guest, 1000)).back().faults == 0);
}

TEST_CASE("while the host itself waits for memory no guest is raised") {
    BudgetBench bench;
    auto hungry = bench.boot_hungry();
    bench.write_pressure("some avg10=35.00 avg60=12.10 avg300=3.05 total=123456\n"
                         "full avg10=30.00 avg60=10.00 avg300=2.00 total=100000\n");
    bench.loop = std::make_unique<BudgetLoop>(bench.io, *bench.guests, bench.of);
    REQUIRE(bench.until([&] { return !bench.guests->find(kWeb)->profile.empty(); }));
    REQUIRE(bench.rounds(50));
    CHECK(bench.loop->state().pressed);
    CHECK(bench.loop->state().raised == 0);
    CHECK(bench.granted() == kGiB / 4);

    bench.write_pressure("some avg10=19.99 avg60=12.10 avg300=3.05 total=123456\n");
    REQUIRE(bench.until([&] { return bench.loop->state().raised > 0; }));
    CHECK_FALSE(bench.loop->state().pressed);
    CHECK(bench.granted() > kGiB / 4);
}

TEST_CASE("pressure that cannot be read is none") {
    BudgetBench bench;
    auto hungry = bench.boot_hungry();
    const std::string text =
        GENERATE("", "some", "some avg60=99.00", "full avg10", "some avg10=x", "some avg10=20.00");
    CAPTURE(text);
    bench.write_pressure(text);
    bench.loop = std::make_unique<BudgetLoop>(bench.io, *bench.guests, bench.of);
    REQUIRE(bench.until([&] { return bench.loop->state().raised > 0; }));
    CHECK_FALSE(bench.loop->state().pressed);
}

TEST_CASE("the most a guest gets grows with what is plugged in") {
    BudgetBench bench;
    domain::ResolvedDomain resolved = GuestsBench::domain_of(kWeb, "web");
    resolved.dram_limit = kGiB / 4;
    bench.define(resolved);
    auto hungry = bench.boot_hungry();
    bench.of.bytes = 4 * kGiB;
    bench.of.asked_for = [&](const std::string &) { return kGiB / 2; };
    bench.loop = std::make_unique<BudgetLoop>(bench.io, *bench.guests, bench.of);
    REQUIRE(bench.until([&] { return bench.granted() == kGiB / 2; }));
    REQUIRE(bench.rounds(20));
    CHECK(bench.granted() == kGiB / 2);
    hungry->stats.push_back(backend_json("memdimm0", kGiB));
    REQUIRE(bench.until([&] { return bench.granted() == kGiB; }));
    REQUIRE(bench.rounds(20));
    CHECK(bench.granted() == kGiB);
}
