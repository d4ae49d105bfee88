// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests that connect, are polled, are set, and go.
#include "guests_bench.h"

#include <cerrno>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

namespace {

// Connections that were turned away.
void expect_refused(GuestsBench &bench, FakeQemu &qemu) {
    REQUIRE(bench.until([&] { return qemu.closed(); }));
    REQUIRE(bench.until([&] { return bench.guests->counters().refused > 0; }));
}

} // namespace

TEST_CASE("a QEMU that connects becomes a guest, and is polled") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1");
    const Guest &guest = *bench.guests->find("11111111-2222-3333-4444-555555555555");
    CHECK(guest.name == "web-1");
    CHECK(guest.pid == getpid());
    CHECK(guest.memory == kGiB);
    CHECK(guest.dram_limit() == kGiB / 4);
    CHECK_FALSE(guest.has_domain);
    web->stats[0]["dram-used"] = 12345;
    REQUIRE(bench.until([&] { return guest.dram_used() == 12345 && !guest.profile.empty(); }));
    CHECK(guest.stats[0].counters.stored == 30);
    CHECK(guest.stats[0].tiers.at(0).checksum_errors == 3);
    CHECK(guest.profile[0].workload == "web");
    CHECK(guest.profile[0].heat.size() == 64);
    REQUIRE(bench.until([&] { return guest.history.samples().size() > 1; }));
    CHECK(guest.history.samples().back().heat[0] > 100);
    CHECK(guest.history.samples().back().heat[63] == 0);
    // Nobody said anything about it, so nothing is changed.
    CHECK(web->configured().empty());
}

TEST_CASE("history is bounded") {
    GuestHistory history;
    BackendStats stats;
    stats.id = "ram";
    stats.size = kGiB;
    for (std::size_t i = 0; i < 3 * GuestHistory::kSamples; ++i) {
        stats.counters.faults += 10;
        history.add(static_cast<std::int64_t>(i) * 1000, {}, {stats});
    }
    CHECK(history.samples().size() == GuestHistory::kSamples);
    CHECK(history.samples().back().faults == 10.0F);
}

TEST_CASE("who a QEMU says it is is checked") {
    GuestsBench bench;
    const std::string path = bench.options.run_dir + "/vm.sock";
    const auto claim = [&](const json &uuid, const json &name) {
        auto qemu = FakeQemu::connect(bench.io, path);
        qemu->answer("query-uuid", uuid);
        qemu->answer("query-name", name);
        qemu->answer("query-tiered-memory", json::array());
        qemu->start();
        return qemu;
    };
    SECTION("libvirt's pid file names another process") {
        std::ofstream(bench.options.libvirt_pid_dir + "/web-1.pid") << getpid() + 1;
        expect_refused(bench, *claim({{"UUID", kWeb}}, {{"name", "web-1"}}));
    }
    SECTION("libvirt's pid file names it") {
        std::ofstream(bench.options.libvirt_pid_dir + "/web-1.pid") << getpid() << "\n";
        const auto qemu = claim({{"UUID", kWeb}}, {{"name", "web-1"}});
        REQUIRE(bench.until([&] { return bench.is_connected(kWeb); }));
    }
    SECTION("the UUID is of a domain with another name") {
        bench.define(GuestsBench::domain_of(kWeb, "web-1"));
        REQUIRE(bench.guests->reread_domain(kWeb));
        expect_refused(bench, *claim({{"UUID", kWeb}}, {{"name", "other"}}));
    }
    SECTION("the same, and nobody told of the domain") {
        bench.define(GuestsBench::domain_of(kWeb, "web-1"));
        expect_refused(bench, *claim({{"UUID", kWeb}}, {{"name", "other"}}));
    }
    SECTION("no UUID") {
        expect_refused(
            bench, *claim({{"UUID", "00000000-0000-0000-0000-000000000000"}}, {{"name", "web-1"}}));
    }
    SECTION("a name that is a path") {
        expect_refused(bench, *claim({{"UUID", kWeb}}, {{"name", "../../etc/x"}}));
    }
    SECTION("a UUID that is no text") {
        expect_refused(bench, *claim({{"UUID", 5}}, json::object()));
    }
    SECTION("no tiered memory") {
        const auto qemu = claim({{"UUID", kWeb}}, json::object());
        qemu->answer("query-tiered-memory",
                     [](const json &) { return FakeQemu::error("not found"); });
        expect_refused(bench, *qemu);
    }
    SECTION("statistics that are none") {
        const auto qemu = claim({{"UUID", kWeb}}, json::object());
        qemu->answer("query-tiered-memory", {{{"id", "ram"}, {"size", "much"}}});
        expect_refused(bench, *qemu);
    }
    CHECK(bench.guests->size() == (bench.is_connected(kWeb) || bench.guests->find(kWeb) ? 1 : 0));
}

TEST_CASE("four voices, the first that speaks wins") {
    GuestSettings by_operator, by_domain;
    std::optional<GuestGroup> group = GuestGroup{"g", "web", 7, {}};
    PolicySettings defaults;
    by_operator.policy.cold = 1;
    by_domain.policy.cold = 2;
    by_domain.policy.window = 2;
    group->policy.cold = 3;
    group->policy.window = 3;
    group->policy.slowdown = 3;
    defaults.cold = 4;
    defaults.window = 4;
    defaults.slowdown = 4;
    defaults.learn = false;
    EffectiveSettings all = resolve_settings(by_operator, by_domain, group, defaults);
    CHECK(all.policy.cold == 1);
    CHECK(all.policy.window == 2);
    CHECK(all.policy.slowdown == 3);
    CHECK(all.policy.learn == false);
    CHECK_FALSE(all.policy.eviction);
    CHECK(all.priority == 7);
    by_domain.priority = 8;
    CHECK(resolve_settings(by_operator, by_domain, group, defaults).priority == 8);
    CHECK(resolve_settings({}, {}, {}, {}).priority == 100);
    by_operator.dram_limit = kGiB;
    by_domain.dram_floor = 2 * kGiB;
    CHECK(resolve_settings(by_operator, by_domain, group, defaults).dram_floor == kGiB);
}

TEST_CASE("a change of the group's policy reaches the guest once") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1", {{"ram-node0", kGiB}, {"ram-node1", kGiB}});
    bench.source.group = GuestGroup{"g", "web", std::nullopt, {}};
    bench.source.group->policy.eviction = domain::Eviction::lfu;
    bench.source.group->policy.cold = 60;
    bench.guests->refresh_all();
    REQUIRE(bench.until([&] { return web->configured().size() == 2; }));
    CHECK(web->configured()[0]["arguments"] ==
          json{{"id", "ram-node0"}, {"eviction-policy", "lfu"}, {"cold-age", 60}});
    CHECK(web->configured()[1]["arguments"]["id"] == "ram-node1");
    bench.guests->refresh_all();
    let_polls_pass(bench, *web);
    CHECK(web->configured().size() == 2);

    // The group is deleted: its members go back to the defaults.
    bench.source.group.reset();
    bench.guests->refresh(kWeb);
    REQUIRE(bench.until([&] { return web->configured().size() == 4; }));
    CHECK(web->configured()[3]["arguments"] ==
          json{{"id", "ram-node1"}, {"eviction-policy", "lru"}, {"cold-age", 120}});
}

TEST_CASE("what somebody else changed is set again, and new backends are set too") {
    GuestsBench bench;
    bench.source.of_host.window = 30;
    bench.source.group = GuestGroup{"g", "web", std::nullopt, {}};
    auto web = bench.boot(kWeb, "web-1");
    REQUIRE(bench.until([&] { return web->configured().size() == 1; }));
    let_polls_pass(bench, *web);
    web->stats[0]["prefetch-window"] = 99;
    REQUIRE(bench.until([&] { return web->configured().size() == 2; }));
    CHECK(web->stats[0]["prefetch-window"] == 30);
    web->stats.push_back(backend_json("dimm0", kGiB));
    REQUIRE(bench.until([&] { return web->configured().size() == 3; }));
    CHECK(web->configured()[2]["arguments"] == json{{"id", "dimm0"}, {"prefetch-window", 30}});
}

TEST_CASE("settings that QEMU refuses are shown and not repeated") {
    GuestsBench bench;
    bench.source.group = GuestGroup{"g", "web", std::nullopt, {}};
    bench.source.group->policy.cold = 5;
    auto web = bench.boot(kWeb, "web-1");
    REQUIRE(bench.until([&] { return web->configured().size() == 1; }));
    web->refuse = "cold-age must be even";
    bench.source.group->policy.cold = 7;
    bench.guests->refresh_all();
    const Guest &guest = *bench.guests->find(kWeb);
    REQUIRE(bench.until([&] { return !guest.settings_problem.empty(); }));
    CHECK(guest.settings_problem == "pc.ram: cold-age must be even");
    let_polls_pass(bench, *web);
    CHECK(web->configured().size() == 2);
    web->refuse.clear();
    bench.source.group->policy.cold = 8;
    bench.guests->refresh_all();
    REQUIRE(bench.until([&] { return web->stats[0]["cold-age"] == 8; }));
    REQUIRE(bench.until([&] { return guest.settings_problem.empty(); }));
}

TEST_CASE("a configure that is not answered is sent again after a poll") {
    GuestsBench bench;
    bench.end();
    bench.options.command_deadline = std::chrono::milliseconds(30);
    bench.begin();
    bench.source.group = GuestGroup{"g", "web", std::nullopt, {}};
    auto web = bench.boot(kWeb, "web-1");
    int asked = 0;
    web->qemu->answer("tiered-memory-configure", [&](const json &arguments) {
        return ++asked == 1 ? json() : web->configure(arguments);
    });
    bench.source.group->policy.cold = 5;
    bench.guests->refresh_all();
    REQUIRE(bench.until([&] { return web->stats[0]["cold-age"] == 5; }));
    CHECK(asked == 2);
    CHECK(bench.guests->counters().timeouts >= 1);
}

TEST_CASE("the resolved domain is read, and read again") {
    GuestsBench bench;
    domain::ResolvedDomain resolved = GuestsBench::domain_of(kWeb, "web-1");
    resolved.title = "The web";
    resolved.labels = {"a", "b"};
    resolved.policy.cold = 40;
    bench.define(resolved);
    bench.end();
    bench.begin(); // finds it in the folder
    const Guest *guest = bench.guests->find(kWeb);
    REQUIRE(guest != nullptr);
    CHECK_FALSE(guest->connected);
    CHECK(guest->title == "The web");
    CHECK(guest->labels.size() == 2);
    CHECK(guest->settings.dram_limit == kGiB / 2);
    auto web = bench.boot(kWeb, "web-1");
    REQUIRE(bench.until([&] { return web->configured().size() == 1; }));
    CHECK(web->configured()[0]["arguments"] ==
          json{{"id", "pc.ram"}, {"dram-limit", kGiB / 2}, {"cold-age", 40}});

    resolved.dram_limit = kGiB / 4 * 3;
    bench.define(resolved);
    REQUIRE(bench.guests->reread_domain(kWeb));
    REQUIRE(bench.until([&] { return web->stats[0]["dram-limit"] == kGiB / 4 * 3; }));

    SECTION("a bad file changes nothing") {
        std::ofstream(bench.options.run_dir + "/domains/" + kWeb + ".json") << "{\"version\": 1";
        const auto read = bench.guests->reread_domain(kWeb);
        REQUIRE_FALSE(read);
        CHECK(read.error().sentence.find(kWeb) != std::string::npos);
        CHECK(guest->settings.dram_limit == kGiB / 4 * 3);
        CHECK_FALSE(bench.guests->reread_domain("../../etc/passwd"));
    }
    SECTION("it goes when the domain has stopped and QEMU is gone") {
        bench.guests->domain_stopped(kWeb);
        CHECK(bench.guests->find(kWeb) == guest);
        web->qemu->close();
        REQUIRE(bench.until([&] { return bench.guests->find(kWeb) == nullptr; }));
        CHECK(bench.removed == std::vector<std::string>{kWeb});
    }
    SECTION("it stays while the domain runs and QEMU is away") {
        web->qemu->close();
        REQUIRE(bench.until([&] { return !guest->connected; }));
        CHECK(bench.guests->find(kWeb) == guest);
        std::filesystem::remove(bench.options.run_dir + "/domains/" + kWeb + ".json");
        REQUIRE(bench.guests->reread_domain(kWeb));
        CHECK(bench.guests->find(kWeb) == nullptr);
    }
}

TEST_CASE("a guest whose start nobody told of has what its domain says") {
    GuestsBench bench;
    domain::ResolvedDomain resolved = GuestsBench::domain_of(kWeb, "web-1");
    resolved.priority = 300;
    resolved.policy.cold = 40;
    bench.define(resolved);
    auto web = bench.boot(kWeb, "web-1");
    const Guest &guest = *bench.guests->find(kWeb);
    CHECK(guest.has_domain);
    CHECK(guest.settings.dram_floor == kGiB / 8);
    CHECK(guest.settings.priority == 300);
    REQUIRE(bench.until([&] { return web->stats[0]["cold-age"] == 40; }));
    CHECK(web->stats[0]["dram-limit"] == kGiB / 2);
}

TEST_CASE("guests come back after a restart of the daemon and get what they missed") {
    GuestsBench bench;
    bench.source.group = GuestGroup{"g", "web", std::nullopt, {}};
    auto web = bench.boot(kWeb, "web-1");
    bench.end();
    REQUIRE(run_until(bench.io, [&] { return web->qemu->closed(); }));
    bench.source.group->policy.cold = 33;
    bench.begin();
    web->connect(bench.io, bench.options.run_dir + "/vm.sock");
    REQUIRE(bench.until([&] { return web->stats[0]["cold-age"] == 33; }));
    CHECK(bench.guests->find(kWeb)->connections == 1);

    // The same process, without the daemon having noticed that it went.
    auto old = web->qemu;
    web->connect(bench.io, bench.options.run_dir + "/vm.sock");
    REQUIRE(bench.until([&] { return bench.guests->find(kWeb)->connections == 2; }));
    REQUIRE(bench.until([&] { return old->closed(); }));
    CHECK(bench.is_connected(kWeb));
}

TEST_CASE("a guest that turns bad is left, the others stay") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1");
    auto db = bench.boot(kDb, "db-1");
    SECTION("garbage") {
        web->qemu->send_raw("garbage\n");
    }
    SECTION("gone") {
        web->qemu->close();
    }
    REQUIRE(bench.until([&] { return !bench.is_connected(kWeb); }));
    CHECK(bench.is_connected(kDb));
    let_polls_pass(bench, *db);
}

TEST_CASE("odd answers are counted and change nothing") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1");
    const Guest &guest = *bench.guests->find(kWeb);
    web->qemu->answer("query-tiered-memory", {{{"id", 7}}});
    web->qemu->answer("query-tiered-memory-profile", {{"heat", "much"}});
    REQUIRE(bench.until([&] { return guest.poll_failures >= 4; }));
    CHECK(guest.stats.at(0).id == "pc.ram");
    CHECK(guest.connected);
}

TEST_CASE("more guests than allowed are turned away") {
    GuestsBench bench;
    bench.end();
    bench.options.max_guests = 1;
    bench.begin();
    auto web = bench.boot(kWeb, "web-1");
    SimulatedGuest db(bench.io, bench.options.run_dir + "/vm.sock", kDb, "db", {{"ram", kGiB}});
    expect_refused(bench, *db.qemu);
    CHECK(bench.guests->size() == 1);
}

TEST_CASE("one socket has one daemon; a stale one is replaced") {
    GuestsBench bench;
    Guests second(bench.io, bench.options, bench.source);
    const auto started = second.start();
    REQUIRE_FALSE(started);
    CHECK(started.error().code == EADDRINUSE);
    bench.end();
    { // left behind by one that was killed
        boost::asio::local::stream_protocol::acceptor left(bench.io);
        left.open();
        left.bind(
            boost::asio::local::stream_protocol::endpoint(bench.options.run_dir + "/vm.sock"));
    }
    bench.begin();
    CHECK((std::filesystem::status(bench.options.run_dir + "/vm.sock").permissions() &
           std::filesystem::perms::all) == std::filesystem::perms(0660));
}
