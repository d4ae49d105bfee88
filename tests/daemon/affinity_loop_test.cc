// SPDX-License-Identifier: GPL-2.0-or-later
//
// What one guest of a group did, ordered for another one: from the profiles that two QEMUs answer with to the command
// that one of them is sent.
#include "daemon/affinity_loop.h"
#include "guests_bench.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

namespace {

constexpr std::uint64_t kCell = kGiB / 64;
constexpr double kPages = kCell / 4096;
constexpr const char *kOrder = "tiered-memory-prefetch";

struct AffinityBench : GuestsBench {
    explicit AffinityBench(const AffinityOptions &prefetch = {}) {
        source.group = GuestGroup{"99999999-0000-0000-0000-000000000001", "web", {}, {}};
        source.of_host.window = 7;
        loop = std::make_unique<AffinityLoop>(
            io, *guests, AffinityLoopOptions{.state_dir = options.state_dir, .prefetch = prefetch});
    }
    ~AffinityBench() override {
        guests->stop();
        loop.reset(); // as in the daemon: what looks at guests goes before them
        end();
    }

    // What the guest's profile says now has been looked at.
    void let_profiles_pass(const SimulatedGuest &guest) {
        const char *question = "query-tiered-memory-profile";
        const std::size_t seen = guest.qemu->received(question).size();
        REQUIRE(until([&] { return guest.qemu->received(question).size() >= seen + 3; }));
    }
    // A guest that used cells 0 to 7 first, as every simulated guest does, then all of 20 and 21 and little of 30.
    std::unique_ptr<SimulatedGuest> boot_peer() {
        auto peer = boot(kDb, "db");
        let_profiles_pass(*peer);
        json &cells = peer->profile[0]["heat"]["cells"];
        cells[20] = cells[21] = kPages;
        cells[30] = 0.02 * kPages;
        let_profiles_pass(*peer);
        cells[20] = cells[21] = cells[30] = 50; // it cools down, and is like the others again
        let_profiles_pass(*peer);
        return peer;
    }
    // A guest that begins with cells 0 to 7, and answers so to an order.
    std::unique_ptr<SimulatedGuest> boot_next(const json &answer) {
        auto next = std::make_unique<SimulatedGuest>(
            io, options.run_dir + "/vm.sock", kWeb, "web",
            std::vector<std::pair<std::string, std::uint64_t>>{{"pc.ram", kGiB}});
        next->qemu->answer(kOrder, [answer](const json &) { return answer; });
        return next;
    }

    std::unique_ptr<AffinityLoop> loop;
};

const json kTaken = {{"return", {{"ticket", 7}, {"pages", 8192}, {"queued", 8192}}}};

} // namespace

TEST_CASE("what a guest of the group used next is ordered of QEMU") {
    const bool to_dram = GENERATE(false, true);
    CAPTURE(to_dram);
    AffinityBench bench({.to_dram = to_dram ? 0.4 : 0.6});
    auto peer = bench.boot_peer();
    auto next = bench.boot_next(kTaken);
    REQUIRE(bench.until([&] { return !next->qemu->received(kOrder).empty(); }));
    const auto similar = bench.loop->similar(kWeb);
    REQUIRE(similar.size() == 1);
    CHECK(similar[0].first == kDb);

    // The two cells side by side; the third one was hardly used.
    const json arguments = next->qemu->received(kOrder)[0].at("arguments");
    CHECK(arguments.at("id") == "pc.ram");
    CHECK(arguments.at("ranges") == json{{{"offset", 20 * kCell}, {"length", 2 * kCell}}});
    CHECK(arguments.at("target") == (to_dram ? "dram" : "nvme"));
    CHECK(arguments.at("deadline-ms") == 7000);
    CHECK(arguments.at("confidence").get<double>() ==
          Catch::Approx(similar[0].second.score * 0.75 * 0.8).epsilon(0.05));

    bench.let_profiles_pass(*next); // once is enough
    CHECK(next->qemu->received(kOrder).size() == 1);
    CHECK(peer->qemu->received(kOrder).empty());
    CHECK(bench.loop->state().orders == 1);
    CHECK(bench.loop->state().ordered_bytes == 2 * kCell);
    CHECK(bench.loop->state().failed_orders == 0);
}

TEST_CASE("an order that QEMU refuses is counted, and that is all") {
    AffinityBench bench;
    auto peer = bench.boot_peer();
    auto next = bench.boot_next(FakeQemu::error("no room"));
    REQUIRE(bench.until([&] { return bench.loop->state().failed_orders == 1; }));
    CHECK(bench.loop->state().orders == 1);
    bench.let_profiles_pass(*next);
    CHECK(bench.is_connected(kWeb));
    CHECK(next->qemu->received(kOrder).size() == 1);
}

TEST_CASE("nothing is ordered for a guest of no group, or that is not to prefetch") {
    AffinityBench bench;
    SECTION("of no group") {
        bench.source.group.reset();
    }
    SECTION("its policy says no") {
        bench.source.of_host.prefetch = false;
    }
    auto peer = bench.boot_peer();
    auto next = bench.boot_next(kTaken);
    REQUIRE(bench.until([&] { return bench.is_connected(kWeb); }));
    bench.let_profiles_pass(*next);
    CHECK(next->qemu->received(kOrder).empty());
    CHECK(bench.loop->state().orders == 0);
}
