// SPDX-License-Identifier: GPL-2.0-or-later
//
// A QEMU that answers what it should not: the daemon, which other guests depend on, goes on.
#include "daemon/affinity_loop.h"
#include "guests_bench.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

namespace {

const GuestGroup kGroup{"99999999-0000-0000-0000-000000000001", "web", std::nullopt, {}};

constexpr const char *kOdd[] = {
    "null",
    "true",
    "-1",
    "1e300",
    R"("text")",
    "[]",
    "{}",
    "[1, null, []]",
    R"({"status": 5, "pages": "many", "ticket": -1})",
    R"({"status": {}, "pages": -7, "ticket": 1.5})",
    R"([{"id": 5, "values": 5, "pages": 5}])",
    R"([{"id": "pc.ram", "values": {"a": 1}, "pages": 5}])",
    R"([{"id": "pc.ram", "values": [1, "2"], "pages": 5}])",
    R"([{"id": "pc.ram", "values": [1, 2], "pages": [5]}])",
    R"([{"id": "pc.ram", "size": 18446744073709551615, "pages": {"resident": -1}}])",
    R"([{"id": "pc.ram", "heat": {"cell-bytes": 4611686018427387904, "cells": [1, 2, 3, 4]}}])",
    R"([{"id": "pc.ram", "heat": {"cell-bytes": 4096, "cells": [-1, 1e300, 3.5]}}])",
};

struct AffinityBench : GuestsBench {
    AffinityBench() {
        source.group = kGroup;
        AffinityLoopOptions of;
        of.state_dir = options.state_dir;
        of.sketch_period = std::chrono::seconds(0);
        loop = std::make_unique<AffinityLoop>(io, *guests, of);
    }
    ~AffinityBench() override {
        end(); // guests tell the loop that they go
        loop.reset();
    }
    // So often asked again that the answers before have been taken.
    void let_be_asked(const SimulatedGuest &guest, const char *command) {
        const std::size_t seen = guest.qemu->received(command).size();
        REQUIRE(until([&] { return guest.qemu->received(command).size() >= seen + 3; }));
    }

    std::unique_ptr<AffinityLoop> loop;
};

} // namespace

TEST_CASE("odd answers to what is asked over and over") {
    AffinityBench bench;
    auto odd = bench.boot(kWeb, "odd"), sound = bench.boot(kDb, "sound");
    sound->qemu->answer("query-status", {{"status", "running"}});
    for (const char *text : kOdd) {
        INFO(text);
        const json answer = json::parse(text);
        for (const char *command : {"query-status", "query-tiered-memory-sketch",
                                    "query-tiered-memory", "query-tiered-memory-profile"}) {
            INFO(command);
            odd->qemu->answer(command, answer);
            bench.let_be_asked(*odd, "query-tiered-memory-profile");
        }
        bench.loop->similar(kDb);
        CHECK(bench.is_connected(kWeb));
    }
    bench.let_be_asked(*odd, "query-status");
    CHECK(bench.guests->find(kWeb)->poll_failures > 0);
    CHECK(bench.guests->find(kDb)->profile.size() == 1);
}

TEST_CASE("odd sketches of a guest that has just begun") {
    const char *text = GENERATE(from_range(std::begin(kOdd), std::end(kOdd)));
    INFO(text);
    AffinityBench bench;
    auto odd = bench.boot(kWeb, "odd");
    odd->qemu->answer("query-tiered-memory-sketch", json::parse(text));
    odd->qemu->answer("query-status", {{"status", "running"}});
    bench.let_be_asked(*odd, "query-tiered-memory-sketch");
    CHECK(bench.is_connected(kWeb));
    CHECK(bench.loop->state().records == 0);
}

TEST_CASE("odd answers to what somebody asked for") {
    const std::string text = GENERATE(as<std::string>{}, "5", "{\"pages\": \"many\"}");
    INFO(text);
    GuestsBench bench;
    auto odd = bench.boot(kWeb, "odd");
    for (const char *command :
         {"tiered-memory-prefetch", "tiered-memory-prefetch-cancel", "tiered-memory-replay"})
        odd->qemu->answer(command, json::parse(text));
    odd->qemu->answer("tiered-memory-record-save", [&](const json &arguments) {
        return SimulatedGuest::write(arguments, "working set", json::parse(text));
    });
    std::size_t failed = 0;
    const auto refused = [&](const auto &result) { failed += result ? 0U : 1U; };
    bench.guests->prefetch(kWeb, {"", {{0, 4096}}, false, 1, {}}, refused);
    bench.guests->cancel_prefetch(kWeb, std::nullopt, refused);
    REQUIRE(bench.until([&] { return failed == 2; }));
    const Guest &guest = *bench.guests->find(kWeb);
    bench.guests->record(kWeb, std::chrono::seconds(1), Guests::RecordWhy::asked,
                         [](const Result<Guests::Nothing> &) {});
    REQUIRE(bench.until([&] { return guest.record.phase == RecordState::Phase::failed; }));
    CHECK(guest.record.sentence.find("pages") != std::string::npos);

    // What was recorded when it was sound.
    odd->qemu->answer("tiered-memory-record-save", [](const json &arguments) {
        return SimulatedGuest::write(arguments, "working set", {{"pages", 11}});
    });
    bench.guests->record(kWeb, std::chrono::seconds(1), Guests::RecordWhy::asked,
                         [](const Result<Guests::Nothing> &) {});
    REQUIRE(bench.until([&] { return guest.record.phase == RecordState::Phase::saved; }));
    bench.guests->replay(kWeb, kWeb, refused);
    REQUIRE(bench.until([&] { return failed == 3; }));
}
