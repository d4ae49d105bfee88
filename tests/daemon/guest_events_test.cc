// SPDX-License-Identifier: GPL-2.0-or-later
//
// What guests' QEMUs say by themselves.
#include "guests_bench.h"

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

TEST_CASE("events are kept, counted and bounded") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1");
    const Guest &guest = *bench.guests->find(kWeb);
    web->qemu->event("TIERED_MEMORY_ERROR", {{"id", "pc.ram"},
                                             {"offset", 65536},
                                             {"tier", 0},
                                             {"class", "nvme"},
                                             {"error", "Input/output\nerror"},
                                             {"checksum", false}});
    REQUIRE(bench.until([&] { return guest.events.size() == 1; }));
    CHECK(guest.events[0].text ==
          "pc.ram: the page at offset 65536 cannot be read from tier 0 (nvme): Input/output error; "
          "accesses to it wait for tiered-memory-resolve");
    for (int i = 0; i < 200; ++i)
        web->qemu->event("TIERED_MEMORY_PRESSURE", {{"id", "pc.ram"}});
    web->qemu->event("STOP", json::object());
    web->qemu->event("TIERED_MEMORY_TIER_DEGRADED", 5);
    REQUIRE(bench.until([&] { return guest.event_count.contains("TIERED_MEMORY_TIER_DEGRADED"); }));
    CHECK(guest.events.size() == Guest::kMaxEvents);
    CHECK(guest.event_count.at("TIERED_MEMORY_PRESSURE") == 200);
    CHECK(guest.event_count.size() == 3);
    CHECK(bench.events.size() == 202);
}

TEST_CASE("whether a guest stands still is asked once, and then told") {
    GuestsBench bench;
    SimulatedGuest web(bench.io, bench.options.run_dir + "/vm.sock", kWeb, "web", {{"ram", kGiB}});
    web.qemu->answer("query-status", {{"status", "paused"}, {"running", false}});
    const auto is_paused = [&](bool paused) {
        return bench.until([&] {
            const Guest *guest = bench.guests->find(kWeb);
            return guest != nullptr && guest->connected && guest->paused == paused;
        });
    };
    CHECK(is_paused(true));
    web.qemu->event("RESUME", json::object());
    CHECK(is_paused(false));
    web.qemu->event("STOP", json::object());
    CHECK(is_paused(true));
    CHECK(web.qemu->received("query-status").size() == 1);
    web.qemu->close();
    CHECK(bench.until([&] {
        const Guest *guest = bench.guests->find(kWeb);
        return guest == nullptr || !guest->paused;
    }));
}
