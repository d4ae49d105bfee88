// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the daemon does with forecasts of migrations: asks for them, keeps how right they were, tells that to
// every QEMU.
#include "daemon/forecast_loop.h"
#include "daemon/sqlite_store.h"
#include "guests_bench.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

namespace {

json bound(std::uint64_t p50, std::uint64_t p90) {
    return {{"p50", p50}, {"p90", p90}};
}

json outcome(std::uint64_t actual_ms) {
    return {{"total-time", bound(1000, 1200)},
            {"bytes", bound(100, 110)},
            {"downtime", bound(4000, 9000)},
            {"actual-total-time", actual_ms},
            {"actual-bytes", 100},
            {"actual-downtime", 5000}};
}

json forecast() {
    return {{"verdict", "converges"},
            {"chance", 0.95},
            {"reason", "it hardly writes"},
            {"running", false},
            {"bandwidth", 1 << 25},
            {"downtime-limit", 300},
            {"total-time", bound(1000, 1200)},
            {"bytes", bound(100, 110)},
            {"downtime", bound(4, 9)},
            {"irreducible", 0},
            {"watched", 30.5},
            {"remedies", json::array()}};
}

struct ForecastBench : GuestsBench {
    ForecastBench() { restart(); }
    ~ForecastBench() override { stop(); }

    void stop() {
        end(); // guests tell the loop that they go
        loop.reset();
        store.reset();
    }
    // As a daemon that is killed and comes back.
    void restart() {
        stop();
        begin();
        auto opened = open_sqlite_store(dir / "a.db");
        REQUIRE(opened);
        store = std::move(*opened);
        loop = std::make_unique<ForecastLoop>(io, *guests, *store);
    }
    std::unique_ptr<SimulatedGuest> boot_able(const char *uuid, const char *name, json says) {
        auto guest = std::make_unique<SimulatedGuest>(
            io, options.run_dir + "/vm.sock", uuid, name,
            std::vector<std::pair<std::string, std::uint64_t>>{{"pc.ram", kGiB}});
        guest->qemu->answer("migrate-forecast-calibrate", json::object());
        guest->qemu->answer("query-migrate-forecast", says);
        REQUIRE(until([&] { return loop->forecasts().contains(uuid); }));
        return guest;
    }
    // The errors that a QEMU was told last.
    static json told(const SimulatedGuest &guest) {
        const auto all = guest.qemu->received("migrate-forecast-calibrate");
        return all.empty() ? json() : all.back().at("arguments").at("errors");
    }

    std::unique_ptr<Store> store;
    std::unique_ptr<ForecastLoop> loop;
};

} // namespace

TEST_CASE("a guest that connects is asked what its migration would cost") {
    ForecastBench bench;
    auto web = bench.boot_able(kWeb, "web", forecast());
    const MigrationForecast &said = bench.loop->forecasts().at(kWeb);
    CHECK(said.verdict == "converges");
    CHECK(said.total_ms.p90 == 1200);
    CHECK(said.watched_s == 30.5);
    CHECK_FALSE(said.outcome);
    CHECK(ForecastBench::told(*web) == json::array());
    CHECK(bench.loop->state().score.count == 0);
    web.reset();
    REQUIRE(bench.until([&] { return !bench.loop->forecasts().contains(kWeb); }));
}

TEST_CASE("a QEMU without forecasts is asked once") {
    ForecastBench bench;
    auto web = bench.boot(kWeb, "web");
    web->qemu->event("MIGRATION", {{"status", "active"}});
    REQUIRE(bench.until([&] { return !bench.events.empty(); }));
    const std::size_t polls = web->qemu->received("query-tiered-memory").size();
    REQUIRE(
        bench.until([&] { return web->qemu->received("query-tiered-memory").size() > polls + 2; }));
    CHECK(web->qemu->received("migrate-forecast-calibrate").size() == 1);
    CHECK(web->qemu->received("query-migrate-forecast").empty());
}

TEST_CASE("what a migration came to is kept, and told to all others") {
    ForecastBench bench;
    auto web = bench.boot_able(kWeb, "web", forecast()),
         db = bench.boot_able(kDb, "db", forecast());
    json done = forecast();
    done["outcome"] = outcome(1100);
    web->qemu->answer("query-migrate-forecast", done);
    web->qemu->event("MIGRATION", {{"status", "completed"}});
    REQUIRE(bench.until([&] { return ForecastBench::told(*db).size() == 1; }));
    CHECK(ForecastBench::told(*db)[0] == outcome(1100));
    CHECK(bench.loop->state().outcomes == 1);
    // It says so as long as it lives; once is enough.
    web->qemu->event("MIGRATE_FORECAST", {{"verdict", "converges"}, {"reason", "x"}});
    web->qemu->event("MIGRATION", {{"status", "completed"}});
    REQUIRE(bench.until([&] { return bench.events.size() == 3; }));
    REQUIRE(bench.until([&] { return web->qemu->received("query-migrate-forecast").size() >= 3; }));
    done["outcome"] = outcome(1300); // the next one
    web->qemu->answer("query-migrate-forecast", done);
    web->qemu->event("MIGRATION", {{"status", "completed"}});
    REQUIRE(bench.until([&] { return ForecastBench::told(*db).size() == 2; }));
    const ForecastScore score = bench.loop->state().score;
    CHECK(score.count == 2);
    CHECK(score.total.within_p90 == Catch::Approx(0.5));
    CHECK(score.bytes.within_p90 == 1);
    CHECK(score.bytes.median_error == 0);
    CHECK(score.downtime.median_error == Catch::Approx(0.2));

    // The next life of the daemon knows them, and hears the last one again.
    web.reset();
    db.reset();
    bench.restart();
    CHECK(bench.loop->state().score.count == 2);
    web = bench.boot_able(kWeb, "web", done);
    CHECK(ForecastBench::told(*web) == json{outcome(1100), outcome(1300)});
    CHECK(bench.loop->state().score.count == 2);
    CHECK(bench.loop->state().outcomes == 0);
}

TEST_CASE("what makes no sense is passed over") {
    ForecastBench bench;
    auto web = bench.boot_able(kWeb, "web", forecast());
    for (const char *text : {"5", "[]", R"({"verdict": 5})", R"({"total-time": {"p50": -1}})",
                             R"({"outcome": 5})", R"({"outcome": {"bytes": "many"}})"}) {
        INFO(text);
        const std::size_t asked = web->qemu->received("query-migrate-forecast").size();
        web->qemu->answer("query-migrate-forecast", json::parse(text));
        web->qemu->event("MIGRATION", {{"status", "completed"}});
        REQUIRE(bench.until(
            [&] { return web->qemu->received("query-migrate-forecast").size() > asked; }));
        let_polls_pass(bench, *web);
        CHECK(bench.loop->forecasts().at(kWeb).verdict == "converges");
        CHECK(bench.loop->state().score.count == 0);
    }
}

TEST_CASE("whether writes are learnt is told once, and again to a QEMU that is new") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1");
    const char *command = "tiered-migration-configure";
    web->qemu->answer(command, json::object());
    let_polls_pass(bench, *web);
    CHECK(web->qemu->received(command).empty()); // nobody said anything
    for (const bool wanted : {true, false}) {
        bench.source.by_operator[kWeb].policy.learn_writes = wanted;
        bench.guests->refresh(kWeb);
        let_polls_pass(bench, *web);
        REQUIRE_FALSE(web->qemu->received(command).empty());
        CHECK(web->qemu->received(command).back().at("arguments") == json{{"learn", wanted}});
    }
    CHECK(web->qemu->received(command).size() == 2);
    bench.source.by_operator[kWeb].policy.learn_writes = true;
    bench.guests->refresh(kWeb);
    web.reset();
    REQUIRE(bench.until([&] { return !bench.is_connected(kWeb); }));
    web = bench.boot(kWeb, "web-1");
    REQUIRE(bench.until([&] { return web->qemu->received(command).size() == 1; }));
    // One that does not know it is not asked over and over.
    let_polls_pass(bench, *web);
    CHECK(web->qemu->received(command).size() == 1);
}
