// SPDX-License-Identifier: GPL-2.0-or-later
//
// What looks at a dirty log teach: on a guest whose timetable is known.
#include "migrate/guest_writes.h"
#include "sim/precopy_guest.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <ctime>

using namespace tidemark;
using namespace tidemark::sim;
using Catch::Approx;

namespace {

constexpr Nanos kMilli = kSecond / 1000;

// A guest that is looked at whenever the learner asks for it.
struct Watched {
    explicit Watched(const Workload &workload) : guest(workload), writes(0) {
        writes.add_block(0, guest.pages());
    }
    void look() {
        writes.begin(guest.now());
        writes.dirty(0, 0, guest.take_log());
        wait = writes.end(guest.now() + kMilli / 10);
        std::array<PageName, 256> names;
        const std::size_t count = writes.sample(names);
        for (const PageName &name : std::span(names).first(count))
            writes.hashed(name, {guest.content(name.page), 7});
    }
    void learn(Nanos duration) {
        for (const Nanos end = guest.now() + duration; guest.now() < end; guest.run(wait))
            look();
        look();
    }
    NextWrite forecast(std::uint32_t page) const {
        const WritesMoment moment(writes, guest.now());
        return forecast_stripe(writes.stripe(0, page / kStripePages), moment)[page % kStripePages];
    }
    Guest guest;
    Writes writes;
    Nanos wait = kSecond / 10;
};

} // namespace

TEST_CASE("stamps go around their clock") {
    CHECK(stamp_of(0) == 1);
    CHECK(stamp_of(kTick * 65534) == 65535);
    CHECK(stamp_of(kTick * 65535) == 1);
    CHECK(ticks_between(65530, 5) == 10);
    CHECK(ticks_between(5, 5) == 0);
}

TEST_CASE("a span's byte is within 3 % of it") {
    for (std::uint32_t ticks = 1; ticks < 60000; ticks += 1 + ticks / 7) {
        const double seconds = SpanCode::seconds(SpanCode::of_ticks(ticks));
        CHECK(seconds == Approx(ticks * kTickSeconds).epsilon(0.03));
        CHECK(SpanCode::of_seconds(ticks * kTickSeconds) == SpanCode::of_ticks(ticks));
    }
    CHECK(SpanCode::of_ticks(UINT32_MAX) == 255);
    CHECK(SpanCode::of_seconds(1e30) == 255);
}

TEST_CASE("the first look after a baseline teaches nothing, not even of a block that is new") {
    Writes writes(0);
    writes.add_block(0, 128);
    const std::array<unsigned long, 2> all{~0ul, ~0ul};
    const auto look = [&](std::size_t block, Nanos now) {
        writes.begin(now);
        writes.dirty(block, 0, all);
        writes.end(now);
    };
    look(0, kSecond);
    CHECK(writes.stripe(0, 0)[0].never());
    look(0, 2 * kSecond);
    CHECK_FALSE(writes.stripe(0, 0)[0].never());
    writes.add_block(3, 64);
    look(3, 3 * kSecond);
    CHECK(writes.stripe(3, 0)[0].never());
    writes.baseline();
    look(3, 4 * kSecond);
    CHECK(writes.stripe(3, 0)[0].never());
    look(3, 5 * kSecond);
    CHECK_FALSE(writes.stripe(3, 0)[0].never());
    // Nor does a look so long after the last that it says nothing of when.
    const Stamp last = writes.stripe(0, 0)[0].last();
    look(0, 500 * kSecond);
    CHECK(writes.stripe(0, 0)[0].last() == last);
}

TEST_CASE("bits beyond the block and of blocks that are not there are passed over") {
    Writes writes(0);
    writes.add_block(1, 65);
    const std::array<unsigned long, 4> all{~0ul, ~0ul, ~0ul, ~0ul};
    for (Nanos now = kSecond; now < 4 * kSecond; now += kSecond) {
        writes.begin(now);
        writes.dirty(1, 0, all);
        writes.dirty(1, 64, all);
        writes.dirty(1, 1 << 20, all);
        writes.dirty(0, 0, all);
        writes.dirty(99, 0, all);
        writes.end(now);
    }
    CHECK_FALSE(writes.stripe(1, 1)[0].never());
    writes.dirty(1, 0, all); // without a look
    CHECK(writes.looks() == 2);
}

TEST_CASE("a walk is found, its period and its phase") {
    Watched watched({"walk", 16384, {walk(1024, 8192, 5 * kSecond)}});
    watched.learn(14 * kSecond);
    REQUIRE(watched.writes.sweep_seconds().has_value());
    CHECK(*watched.writes.sweep_seconds() == Approx(5).epsilon(0.05));
    for (const std::uint32_t page : {1024u, 3000u, 5000u, 9000u}) {
        const NextWrite next = watched.forecast(page);
        const double really =
            static_cast<double>(watched.guest.next_write(page) - watched.guest.now()) * 1e-9;
        CHECK(next.regular);
        CHECK(std::abs(next.seconds - really) < 0.5);
    }
    CHECK(watched.forecast(100).never);
    CHECK(watched.forecast(100).seconds == NextWrite::kNever);
}

TEST_CASE("a walk seen for little more than one round is known for all its pages") {
    Watched watched({"walk", 16384, {walk(1024, 8192, 5 * kSecond)}});
    watched.learn(6 * kSecond);
    const std::uint32_t page = 8000; // passed once
    const double really =
        static_cast<double>(watched.guest.next_write(page) - watched.guest.now()) * 1e-9;
    CHECK(std::abs(watched.forecast(page).seconds - really) < 0.6);
}

TEST_CASE("pages that are written all the time are known to be, finer than looks come") {
    Watched watched({"hot", 8192, {walk(512, 2048, 10 * kMilli)}});
    watched.learn(8 * kSecond);
    CHECK(watched.writes.period() >= 300 * kMilli); // that many pages make looks dear
    CHECK(watched.forecast(1000).seconds < 0.1);
    CHECK_FALSE(watched.forecast(1000).never);
    const WritesSummary summary = summarize(watched.writes);
    CHECK(summary.hot == 2048);
    CHECK(summary.never == 8192 - 2048);
}

TEST_CASE("writes here and there have a rate and no period") {
    Watched watched({"random", 16384, {anywhere(1024, 8192, 5 * kSecond)}});
    watched.learn(30 * kSecond);
    CHECK_FALSE(watched.writes.sweep_seconds().has_value());
    const WritesSummary summary = summarize(watched.writes);
    CHECK(summary.regular < 8192 / 20);
    double sum = 0;
    for (std::uint32_t page = 1024; page < 1024 + 8192; ++page)
        sum += watched.forecast(page).gap;
    CHECK(sum / 8192 > 3.5);
    CHECK(sum / 8192 < 9);
}

TEST_CASE("a page that has not been reached yet is judged by its neighbours") {
    Watched watched({"random", 16384, {anywhere(1024, 8192, 5 * kSecond)}});
    watched.learn(4 * kSecond);
    int unreached = 0;
    for (std::uint32_t page = 1024; page < 1024 + 8192; ++page)
        if (const NextWrite next = watched.forecast(page); next.never) {
            ++unreached;
            CHECK(next.seconds < 20);
        }
    CHECK(unreached > 1000);
    CHECK(watched.forecast(12000).seconds == NextWrite::kNever);
}

TEST_CASE("silent stores are told from those that change something") {
    Workload workload{
        "both", 16384, {walk(1024, 1024, 500 * kMilli), walk(8192, 1024, 500 * kMilli)}};
    workload.writers[1].silent = true;
    Watched watched(workload);
    watched.learn(20 * kSecond);
    int silent = 0, wrong = 0;
    for (std::uint32_t i = 0; i < 1024; ++i) {
        wrong += watched.forecast(1024 + i).silent;
        silent += watched.forecast(8192 + i).silent;
    }
    CHECK(wrong == 0);
    CHECK(silent > 1000);
}

TEST_CASE("what is not written any more grows old, and its clock may go around") {
    Workload workload{"once", 1024, {walk(0, 64, kSecond)}};
    workload.writers[0].until = 3 * kSecond;
    Watched watched(workload);
    watched.learn(4 * kSecond);
    CHECK(watched.forecast(5).seconds < 5);
    for (int i = 0; i < 200; ++i) { // more than an hour and a half, looks 30 s apart
        watched.guest.run(30 * kSecond);
        watched.look();
        CHECK(watched.forecast(5).seconds >= std::min(29.0 * (i + 1), 900.0));
        CHECK_FALSE(watched.forecast(5).never);
    }
    // And without looks in between.
    Watched again(workload);
    again.learn(4 * kSecond);
    again.guest.run(33 * 60 * kSecond);
    again.look();
    again.guest.run(kSecond);
    again.look();
    CHECK(again.forecast(5).seconds == NextWrite::kLongAgo);
}

TEST_CASE("looks come no oftener than they may cost") {
    Writes writes(0);
    writes.add_block(0, 1024);
    Nanos now = 0, spent = 0, wait = 0;
    for (int i = 0; i < 400; ++i) {
        now += wait;
        writes.begin(now);
        const Nanos cost = i < 200 ? kMilli / 20 : 20 * kMilli;
        wait = writes.end(now + cost);
        if (i == 100) {
            CHECK(wait == kSecond / 10);
        } else if (i >= 300) {
            spent += cost;
            CHECK(wait <= 30 * kSecond);
        } else if (i == 299) {
            spent = 0;
            now = 0;
        }
    }
    CHECK(static_cast<double>(spent) / static_cast<double>(now) < 0.012);
}

TEST_CASE("a look tells how much of each 2 MiB was written, if it counts") {
    Writes writes(0);
    writes.add_block(3, 1100);
    const auto look = [&writes](Nanos now, std::vector<unsigned long> words) {
        writes.begin(now);
        writes.dirty(3, 448, words);
        writes.end(now + 1);
    };
    look(kSecond, {~0ul}); // all bits of a fresh log may be set
    CHECK(writes.found(3).empty());
    look(2 * kSecond, {~0ul}); // and the first look at a block is one at a fresh log
    look(3 * kSecond, {0b111ul << 61, 0b11ul, 1});
    REQUIRE(writes.found(3).size() == 3);
    CHECK(writes.found(3)[0] == 3);
    CHECK(writes.found(3)[1] == 3);
    CHECK(writes.found(3)[2] == 0);
    CHECK(writes.found(2).empty());
    look(4 * kSecond, {});
    CHECK(writes.found(3)[1] == 0);
    writes.baseline();
    look(5 * kSecond, {~0ul});
    CHECK(writes.found(3).empty());
}

TEST_CASE("learning takes 4 bytes a page, and 2 for 2 MiB") {
    Writes writes(0);
    const std::size_t empty = writes.bytes();
    writes.add_block(0, 1 << 20);
    CHECK(writes.bytes() - empty == (4u << 20) + 4096);
    CHECK(empty < 384 << 10);
}

// Not a test: prints what a look and a plan of a large guest cost.
TEST_CASE("cost", "[.cost]") {
    constexpr std::uint64_t kMany = 1 << 24; // 64 GiB
    Writes writes(0);
    writes.add_block(0, kMany);
    std::vector<unsigned long> log(kMany / 64), waiting(kMany / 64, ~0ul);
    const auto took = [](const char *what, std::uint64_t pages, auto &&work) {
        const std::clock_t from = std::clock();
        work();
        const double ns = static_cast<double>(std::clock() - from) * (1e9 / CLOCKS_PER_SEC);
        std::printf("%-40s %8.1f ms %6.1f ns a page\n", what, ns * 1e-6,
                    ns / static_cast<double>(pages));
    };
    Nanos now = 0;
    for (int i = 0; i < 12; ++i) {
        for (std::size_t word = 0; word < log.size();
             ++word) // a quarter of memory, other pages of it each time
            log[word] =
                word % 4 == 0 ? 0x9e3779b97f4a7c15 * (word * 97 + static_cast<unsigned>(i) + 1) : 0;
        now += kSecond;
        const auto look = [&] {
            writes.begin(now);
            writes.dirty(0, 0, log);
            writes.end(now);
        };
        if (i < 11)
            look();
        else
            took("a look, 2 million pages written", kMany / 8, look);
    }
    took("a look, nothing written", kMany, [&] {
        writes.begin(now + 1);
        std::fill(log.begin(), log.end(), 0);
        writes.dirty(0, 0, log);
        writes.end(now + 1);
    });
    Precopy plan(writes, {}, now);
    plan.synced(now, 1 << 30, kMany);
    const Waiting all{0, waiting.data(), kMany};
    took("a plan of all pages", kMany, [&] { plan.eligible(all); });
    took("all pages, planned", kMany, [&] { plan.eligible(all); });
    took("a search that finds each", kMany, [&] {
        for (std::uint64_t page = plan.next(all, 0); page < kMany; page = plan.next(all, page + 1))
            plan.sent({0, page}, now);
    });
    std::printf("%.2f bytes a page\n", static_cast<double>(writes.bytes() + plan.bytes()) / kMany);
}
