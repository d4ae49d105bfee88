// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the plan of a precopy is worth: bytes, resends and time against the stock order and against an oracle, on
// the guests of the migration benchmark. `test-precopy [.table]` prints the table.
#include "precopy_machine.h"

#include <catch2/catch_test_macros.hpp>
#include <cstdio>

using namespace tidemark;
using namespace tidemark::sim;

namespace {

constexpr std::uint32_t kMiB = 256; // pages
constexpr std::uint32_t kRam = 128 * kMiB;
constexpr Nanos kMilli = kSecond / 1000;

Workload sweep_and_hot() {
    return {"sweep+hot",
            kRam,
            {walk(4 * kMiB, kMiB, 10 * kMilli), walk(32 * kMiB, 32 * kMiB, 5100 * kMilli)}};
}
Workload random_writes() {
    return {"random",
            kRam,
            {walk(4 * kMiB, kMiB, 10 * kMilli), anywhere(32 * kMiB, 32 * kMiB, 5100 * kMilli)}};
}
Workload hot() {
    return {"hot 8 MiB", kRam, {walk(4 * kMiB, 8 * kMiB, 10 * kMilli)}};
}
Workload silent() {
    Workload workload = hot();
    workload.name = "silent";
    workload.writers[0].silent = true;
    return workload;
}
Workload idle() {
    return {"idle", kRam, {}};
}

// Of many kinds: a walk, writes anywhere or both, over more or less memory, at more or less of the link's rate.
std::vector<Workload> grid() {
    std::vector<Workload> all;
    for (const std::uint32_t size : {4 * kMiB, 16 * kMiB, 64 * kMiB})
        for (const double rate : {0.05, 0.2, 0.5, 0.8, 1.2})
            for (const int kind : {0, 1, 2, 3}) {
                const auto round = static_cast<Nanos>(size / (8192.0 * rate) * 1e9);
                Workload workload{std::to_string(size / kMiB) + " MiB x" +
                                      std::to_string(rate).substr(0, 4) +
                                      (kind == 0   ? " walk"
                                       : kind == 1 ? " any"
                                       : kind == 2 ? " skew"
                                                   : " late"),
                                  kRam,
                                  {}};
                if (kind == 0)
                    workload.writers = {walk(8 * kMiB, size, round)};
                if (kind == 1)
                    workload.writers = {anywhere(8 * kMiB, size, round)};
                if (kind == 2) // half of the writes go to an eighth
                    workload.writers = {anywhere(8 * kMiB, size, 2 * round),
                                        anywhere(8 * kMiB, size / 8, round / 4)};
                if (kind == 3) { // another one from a second before the end of the learning on
                    workload.writers = {walk(8 * kMiB, size, round),
                                        anywhere(40 * kMiB, size, round)};
                    workload.writers[0].until = workload.writers[1].from = 19 * kSecond;
                }
                all.push_back(workload);
            }
    return all;
}

struct Medians {
    double bytes = 0, resent = 0, seconds = 0, downtime = 0, skipped = 0, syncs = 0;
    int finished = 0, runs = 0;
};

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                     values.end());
    return values[values.size() / 2];
}

// At several moments of the guest's rounds. Every run that finishes has to leave the destination with the source's
// memory.
Medians measured(const Workload &workload, Settings settings, int runs = 5) {
    std::vector<double> bytes, resent, seconds, downtime, skipped, syncs;
    Medians medians;
    for (int run = 0; run < runs; ++run) {
        settings.phase = static_cast<Nanos>(run) * 1037 * kMilli;
        Machine machine(workload, settings);
        machine.learn();
        const Outcome outcome = machine.migrate();
        REQUIRE((outcome.identical || !outcome.finished));
        medians.finished += outcome.finished;
        bytes.push_back(outcome.bytes());
        resent.push_back(static_cast<double>(outcome.resent));
        seconds.push_back(outcome.seconds);
        downtime.push_back(outcome.downtime);
        skipped.push_back(static_cast<double>(outcome.skipped));
        syncs.push_back(static_cast<double>(outcome.syncs));
    }
    medians.runs = runs;
    medians.bytes = median(bytes);
    medians.resent = median(resent);
    medians.seconds = median(seconds);
    medians.downtime = median(downtime);
    medians.skipped = median(skipped);
    medians.syncs = median(syncs);
    return medians;
}

void print(const Workload &workload, const char *order, const Settings &settings,
           const Medians &m) {
    std::printf(
        "%-12s %5.0f ms %5.1f s learnt  %-8s %7.1f MB  %7.0f resent  %6.0f skipped  %6.2f s  down "
        "%5.0f ms  %4.0f syncs  %d/%d\n",
        workload.name.c_str(), static_cast<double>(settings.limit) * 1e-6,
        static_cast<double>(settings.learn) * 1e-9, order, m.bytes * 1e-6, m.resent, m.skipped,
        m.seconds, m.downtime * 1e3, m.syncs, m.finished, m.runs);
}

} // namespace

TEST_CASE("the table", "[.table]") {
    for (const Workload &workload : {sweep_and_hot(), random_writes(), hot(), silent(), idle()})
        for (const Nanos limit : {100 * kMilli, 300 * kMilli}) {
            Settings settings;
            settings.limit = limit;
            print(workload, "stock", settings, measured(workload, settings));
            settings.order = Order::oracle;
            print(workload, "oracle", settings, measured(workload, settings, 3));
            for (const Nanos learn : {0 * kSecond, 6 * kSecond, 20 * kSecond, 60 * kSecond}) {
                settings.order = Order::plan;
                settings.learn = learn;
                print(workload, "plan", settings, measured(workload, settings));
            }
        }
}

struct Compared {
    Medians stock, plan;
};

Compared compared(const Workload &workload, Settings settings, int runs) {
    const Medians stock = measured(workload, settings, runs);
    settings.order = Order::plan;
    return {stock, measured(workload, settings, runs)};
}

TEST_CASE("a walk and a hot set: a fifth less bytes, few resends, in less time") {
    Settings settings;
    settings.limit = 100 * kMilli;
    const auto [stock, plan] = compared(sweep_and_hot(), settings, 3);
    REQUIRE(plan.finished == plan.runs);
    CHECK(plan.bytes < 0.8 * stock.bytes);
    CHECK(plan.resent < 0.2 * stock.resent);
    CHECK(plan.seconds < 0.85 * stock.seconds);
    CHECK(plan.downtime <= 0.1 + 0.01);
}

TEST_CASE("the plan comes to an end by what the migration says may be left") {
    Settings settings;
    settings.order = Order::plan;
    settings.limit = 100 * kMilli;
    settings.used = 0.5;
    const Medians told = measured(sweep_and_hot(), settings, 3);
    CHECK(told.finished == told.runs);
    CHECK(told.seconds < 6);
    settings.tells = false; // it learns that from what its syncs come to
    const Medians untold = measured(sweep_and_hot(), settings, 3);
    CHECK(untold.finished == untold.runs);
}

TEST_CASE("writes anywhere: a tenth less bytes") {
    Settings settings;
    settings.limit = 100 * kMilli;
    const auto [stock, plan] = compared(random_writes(), settings, 3);
    REQUIRE(plan.finished == plan.runs);
    CHECK(plan.bytes < 0.9 * stock.bytes);
}

TEST_CASE("a guest that writes nothing: as stock, to one in a hundred") {
    Settings settings;
    const Medians stock = measured(idle(), settings, 1);
    settings.order = Order::plan;
    const Medians plan = measured(idle(), settings, 1);
    CHECK(plan.bytes <= 1.01 * stock.bytes);
    CHECK(plan.seconds <= 1.01 * stock.seconds);
    settings.learn = 0;
    CHECK(measured(idle(), settings, 1).seconds <= 1.01 * stock.seconds);
}

TEST_CASE("a hot set that can't be stopped in time is not sent over and over") {
    Settings settings;
    settings.limit = 100 * kMilli;
    settings.order = Order::plan;
    const Medians plan = measured(hot(), settings, 2);
    CHECK(plan.finished == 0);
    CHECK(plan.bytes <= 1.05 * 4104 * kRam);
}

TEST_CASE("silent stores are sent once") {
    Settings settings;
    settings.limit = 100 * kMilli;
    CHECK(measured(silent(), settings, 1).finished == 0); // in stock order
    settings.order = Order::plan;
    const Medians plan = measured(silent(), settings, 2);
    REQUIRE(plan.finished == plan.runs);
    CHECK(plan.bytes <= 1.03 * 4104 * kRam);
    CHECK(plan.downtime <= 0.1);
}

TEST_CASE("an observer changes nothing, and knows which pages were sent for nothing") {
    Settings settings;
    settings.limit = 100 * kMilli;
    Machine stock(sweep_and_hot(), settings);
    stock.learn();
    const Outcome as_stock = stock.migrate();
    settings.order = Order::observe;
    Machine machine(sweep_and_hot(), settings);
    machine.learn();
    const Outcome observed = machine.migrate();
    CHECK(observed.sent == as_stock.sent);
    CHECK(observed.seconds == as_stock.seconds);
    CHECK(observed.identical);
    const PrecopyCounts &counts = observed.counts;
    CHECK(counts.advised + counts.against == observed.sent);
    // Most of those it was against were written again, and few of the others.
    const auto share = [](std::uint64_t some, std::uint64_t all) {
        return static_cast<double>(some) / static_cast<double>(all);
    };
    CHECK(share(counts.against_rewritten, counts.against) > 0.6);
    CHECK(share(counts.advised_rewritten, counts.advised) < 0.2);
}

// At some moments of its rounds: at a single one, luck decides. `learnt` or not, it has run for 20 seconds before.
void check_no_worse(const Workload &workload, bool learnt) {
    double stock_bytes = 0, stock_seconds = 0, bytes = 0, seconds = 0;
    for (const Nanos phase : {0 * kMilli, 137 * kMilli, 1037 * kMilli}) {
        Settings settings;
        settings.limit = 100 * kMilli;
        settings.phase = phase;
        settings.give_up = 12 * kSecond;
        Machine in_order(workload, settings);
        settings.order = Order::plan;
        if (!learnt) {
            settings.phase += settings.learn;
            settings.learn = 0;
        }
        Machine by_plan(workload, settings);
        in_order.learn();
        by_plan.learn();
        const Outcome stock = in_order.migrate(), plan = by_plan.migrate();
        CHECK((plan.identical || !plan.finished));
        if (!stock.finished)
            return;
        CHECK(plan.finished);
        CHECK(plan.downtime <= 0.11);
        stock_bytes += stock.bytes();
        stock_seconds += stock.seconds;
        bytes += plan.bytes();
        seconds += plan.seconds;
    }
    CHECK(bytes <= 1.01 * stock_bytes);
    CHECK(seconds <= 1.01 * stock_seconds);
}

TEST_CASE("whatever the guest does, learnt or not: no worse than stock") {
    for (const Workload &workload : grid())
        for (const bool learnt : {false, true}) {
            INFO(workload.name << (learnt ? ", learnt" : ", not learnt"));
            check_no_worse(workload, learnt);
        }
}
