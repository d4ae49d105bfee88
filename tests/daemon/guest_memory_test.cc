// SPDX-License-Identifier: GPL-2.0-or-later
//
// How a guest's DRAM is shared out over its backends, and what becomes of it when memory is plugged in.
#include "guests_bench.h"

#include <catch2/catch_test_macros.hpp>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

TEST_CASE("memory that is plugged in brings its share of DRAM, and takes it with it") {
    constexpr std::uint64_t kMiB = 1 << 20;
    GuestsBench bench;
    domain::ResolvedDomain resolved = GuestsBench::domain_of(kWeb, "web-1");
    resolved.memory = 512 * kMiB;
    resolved.dram_limit = 128 * kMiB;
    resolved.dram_floor = 32 * kMiB;
    bench.define(resolved);
    auto web = bench.boot(kWeb, "web-1", {{"ram-node0", 512 * kMiB}});
    const Guest &guest = *bench.guests->find(kWeb);
    const auto limits = [&](std::uint64_t cell, std::uint64_t dimm) {
        return web->stats[0]["dram-limit"] == cell * kMiB &&
               web->stats[1]["dram-limit"] == dimm * kMiB;
    };
    const auto plug = [&] { // QEMU gives it a quarter, too
        web->stats.push_back(backend_json("memdimm0", 256 * kMiB));
        REQUIRE(bench.until([&] { return guest.memory == 768 * kMiB; }));
    };
    REQUIRE(bench.until([&] { return guest.dram_limit() == 128 * kMiB; }));
    SECTION("of what its domain says") {
        plug();
        let_polls_pass(bench, *web);
        CHECK(limits(128, 64));
        CHECK(guest.settings.dram_limit == 192 * kMiB);
        CHECK(guest.settings.dram_floor == 32 * kMiB);
        CHECK(web->configured().empty()); // nothing had to be changed
        resolved.dram_limit = 256 * kMiB;
        bench.define(resolved);
        REQUIRE(bench.guests->reread_domain(kWeb));
        REQUIRE(bench.until([&] { return limits(256, 128); }));
    }
    SECTION("of what it was granted") {
        bench.guests->grant(kWeb, 256 * kMiB);
        REQUIRE(bench.until([&] { return guest.dram_limit() == 256 * kMiB; }));
        plug();
        REQUIRE(bench.until([&] { return limits(256, 128); }));
        CHECK(guest.granted == 384 * kMiB);
    }
    SECTION("not of what an operator says of the whole guest") {
        bench.source.by_operator[kWeb].dram_limit = 384 * kMiB;
        bench.guests->refresh(kWeb);
        plug();
        REQUIRE(bench.until([&] { return limits(256, 128); }));
        CHECK(guest.settings.dram_limit == 384 * kMiB);
    }
    web->stats.erase(1);
    REQUIRE(bench.until([&] { return guest.memory == 512 * kMiB; }));
    let_polls_pass(bench, *web);
    CHECK(guest.settings.dram_limit ==
          (guest.from_operator.dram_limit ? 384 : resolved.dram_limit / kMiB) * kMiB);
}

TEST_CASE("what the arbiter grants is shared out by size") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1", {{"a", kGiB}, {"b", 3 * kGiB}});
    bench.guests->grant(kWeb, 2 * kGiB);
    REQUIRE(bench.until([&] { return bench.guests->find(kWeb)->dram_limit() == 2 * kGiB; }));
    CHECK(web->stats[0]["dram-limit"] == 512U << 20);
    CHECK(web->stats[1]["dram-limit"] == 1536U << 20);
    bench.guests->grant(kWeb, 1); // each has 16 MiB at least
    REQUIRE(bench.until([&] { return web->stats[0]["dram-limit"] == 16U << 20; }));
    bench.guests->grant(kWeb, 100 * kGiB); // and its size at most
    REQUIRE(bench.until([&] { return web->stats[0]["dram-limit"] == kGiB; }));
}
