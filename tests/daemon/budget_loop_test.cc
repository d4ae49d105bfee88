// SPDX-License-Identifier: GPL-2.0-or-later
//
// The arbiter on guests: that what a new one is told to start with is there before it starts.
#include "daemon/budget_loop.h"
#include "guests_bench.h"

#include <catch2/catch_test_macros.hpp>

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
