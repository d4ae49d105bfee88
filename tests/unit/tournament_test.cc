// SPDX-License-Identifier: GPL-2.0-or-later
//
// Bandwidth goes to predictors that earn it, and to them only; who was wrong can come back.
#include "predict/phases.h"
#include "predict/tournament.h"
#include "tiny_guest.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <set>

using namespace tidemark;
using namespace tidemark::test;

namespace {

constexpr std::uint32_t kPages = 65536;

// Says what it is told to say.
class Parrot final : public Predictor {
  public:
    explicit Parrot(Origin origin) : origin_(origin) {}
    Origin origin() const override { return origin_; }
    std::string_view name() const override { return "parrot"; }
    void observe(const Window &) override { ++seen; }
    void expect(std::vector<Expectation> &out) override {
        out.insert(out.end(), next.begin(), next.end());
        next.clear();
    }
    std::size_t bytes() const override { return sizeof(*this); }

    std::vector<Expectation> next;
    int seen = 0;

  private:
    Origin origin_;
};

// Windows of a quarter of a second in which pages are accessed, all half way through it.
struct Course {
    explicit Course(double budget = 100'000) : tournament(kPages, budget) {
        tournament.add(parrot);
        std::vector<Access> all{{PageIndex{0}, kPages, AccessKind::left}};
        step(all);
    }
    const std::vector<Order> &step(const std::vector<Access> &accesses = {}) {
        auto stamped = accesses;
        for (Access &one : stamped)
            one.ms = static_cast<std::uint32_t>((now + 0.125) * 1000);
        orders = tournament.step({now, 0.25, stamped, {}}, outcomes);
        now += 0.25;
        return orders;
    }
    std::uint64_t ordered() const {
        std::uint64_t sum = 0;
        for (const Order &one : orders)
            sum += one.run.count;
        return sum;
    }
    void say(std::uint32_t first, std::uint32_t count, double seconds, float confidence = 0.9f) {
        parrot.next.push_back({{PageIndex{first}, count}, confidence, now + 0.25 + seconds});
    }
    Standing standing() const { return tournament.standings()[0]; }

    Parrot parrot{Origin::phases};
    Tournament tournament;
    Outcomes outcomes{};
    std::vector<Order> orders;
    double now = 0;
};

std::vector<Access> waits(std::uint32_t first, std::uint32_t count) {
    return {{PageIndex{first}, count, AccessKind::stored}};
}

// Makes it earn: 4 windows of 1024 pages named and needed; and of those brought in,
// so many are seen to be used.
void be_right(Course &course, std::uint32_t first, std::uint64_t seen = 300) {
    for (std::uint32_t i = 0; i < 4; ++i) {
        course.say(first + i * 1024, 1024, 2);
        course.step();
        course.step(waits(first + i * 1024, 1024));
    }
    course.outcomes[static_cast<std::size_t>(Origin::phases)].used += seen;
    course.step();
}

} // namespace

TEST_CASE("nothing is ordered before it is earned, but a trial; being right earns all") {
    Course course;
    course.say(0, 4096, 10);
    course.step();
    CHECK(course.ordered() == 0);
    CHECK_FALSE(course.standing().earning);
    // One page in a hundred that the guest waits for is tried.
    course.step(waits(50000, 500));
    CHECK(course.ordered() == 5);
    course.step(waits(20000, 30000));
    CHECK(course.ordered() == 64);
    for (std::uint32_t i = 0; i < 4; ++i)
        course.step(waits(1024 * i, 1024));
    CHECK(course.standing().earning);
    CHECK(course.standing().late == 0);
    CHECK(course.standing().used > 1000);
    // Some thousand pages on the word of shadows, and all when it is seen what comes of them.
    course.say(10000, 6000, 5);
    course.step();
    const std::uint64_t first = course.ordered();
    CHECK(first > 500);
    CHECK(first <= 2048);
    REQUIRE_FALSE(course.orders.empty());
    CHECK(course.orders[0].origin == Origin::phases);
    CHECK(course.orders[0].run.first == PageIndex{10000});
    CHECK(course.orders[0].until == course.now + 5);
    CHECK(course.orders[0].confidence > 0.9f);
    course.outcomes[static_cast<std::size_t>(Origin::phases)].used += 100;
    course.step();
    CHECK(first + course.ordered() == 6000);
}

TEST_CASE("a predictor that is always wrong gets next to nothing, however sure it says it is") {
    Course course;
    std::uint64_t ordered = 0, waited = 0;
    for (std::uint32_t i = 0; i < 400; ++i) {
        course.say(i * 100 % 30000, 100, 1, 1.0f);
        course.step(waits(30000 + i * 50 % 30000, 50));
        waited += 50;
        ordered += course.ordered();
        CHECK_FALSE(course.standing().earning);
    }
    CHECK(ordered > 0);
    CHECK(ordered <= waited / 100);
    CHECK(course.standing().wasted > 1000);
    CHECK(course.standing().used == 0);
    // A guest that waits for nothing gets no trial reads at all.
    ordered = 0;
    for (int i = 0; i < 100; ++i) {
        course.say(0, 100, 1);
        course.step();
        ordered += i > 0 ? course.ordered() : 0;
    }
    CHECK(ordered == 0);
}

TEST_CASE("what is named is not believed before it has come true: open pages count against it") {
    Course course;
    course.say(0, 16384, 100);
    course.step();
    course.step(waits(0, 2048)); // an eighth, at once
    CHECK(course.standing().used > 64);
    CHECK_FALSE(course.standing().earning);
}

TEST_CASE("pages that could not have been there in time are late, and earn nothing") {
    Course course(400); // pages a second
    for (std::uint32_t i = 0; i < 8; ++i) {
        course.say(i * 1024, 1024, 10);
        course.step();
        course.step(waits(i * 1024, 1024));
    }
    CHECK(course.standing().late > course.standing().used);
    CHECK_FALSE(course.standing().earning);
}

TEST_CASE("who earned and goes wrong is cut off, and can earn it again") {
    Course course;
    be_right(course, 0);
    REQUIRE(course.standing().earning);
    // The engine saw most of what it brought leave unused.
    for (int i = 0; i < 10; ++i) {
        course.outcomes[static_cast<std::size_t>(Origin::phases)].used += 100;
        course.outcomes[static_cast<std::size_t>(Origin::phases)].wasted += 900;
        course.step();
    }
    CHECK_FALSE(course.standing().earning);
    course.say(20000, 1000, 1);
    course.step();
    CHECK(course.ordered() <= 64);
    course.step(waits(20000, 1000));
    // Shadows alone don't outweigh what was seen ...
    be_right(course, 24000, 0);
    CHECK_FALSE(course.standing().earning);
    SECTION("but if what is brought in on trial is used, that does") {
        for (std::uint32_t i = 0; i < 4; ++i)
            be_right(course, 30000 + 5000 * i);
        CHECK(course.standing().earning);
    }
    SECTION("but what was seen long ago fades") {
        for (int i = 0; i < 6 * 60 * 4; ++i)
            course.step();
        be_right(course, 30000, 0);
        CHECK(course.standing().earning);
    }
}

TEST_CASE("a few pages that came as a stay ended do not stand against thousands of shadows") {
    Course course;
    be_right(course, 0);
    REQUIRE(course.standing().earning);
    // Neither good nor bad, for so few of them.
    course.outcomes[static_cast<std::size_t>(Origin::phases)].wasted += 250;
    course.step();
    CHECK(course.standing().earning);
    // More of the same kind is bad.
    course.outcomes[static_cast<std::size_t>(Origin::phases)].wasted += 700;
    course.step();
    CHECK_FALSE(course.standing().earning);
}

TEST_CASE("the budget is kept, and what does not fit waits for its turn until its time is over") {
    Course course(8000);
    be_right(course, 0);
    REQUIRE(course.standing().earning);
    course.step();
    course.say(10000, 20000, 1.1);
    std::uint64_t sum = 0;
    std::set<std::uint32_t> once;
    for (int i = 0; i < 10; ++i) {
        course.step();
        CHECK(course.ordered() <= (i == 0 ? 8000 : 2000)); // what was saved up in a second
        sum += course.ordered();
        for (const Order &one : course.orders)
            for (std::uint32_t k = 0; k < one.run.count; ++k)
                CHECK(once.insert(one.run.first.value + k).second);
    }
    CHECK(sum >= 12000);
    CHECK(sum <= 18000);
    course.tournament.set_budget(0);
    course.say(40000, 100, 5);
    course.step();
    course.step();
    CHECK(course.ordered() == 0);
}

TEST_CASE("a page is ordered once, whoever names it, and never if it is in DRAM or untouched") {
    Course course;
    Parrot second(Origin::network);
    course.tournament.add(second);
    be_right(course, 0);
    for (std::uint32_t i = 0; i < 4; ++i) {
        second.next.push_back({{PageIndex{8000 + i * 1024}, 1024}, 0.8f, course.now + 2});
        course.step();
        course.step(waits(8000 + i * 1024, 1024));
    }
    course.outcomes[static_cast<std::size_t>(Origin::network)].used += 300;
    course.step();
    REQUIRE(course.tournament.standings()[1].earning);
    course.say(20000, 200, 5);
    course.say(20100, 200, 5);
    second.next.push_back({{PageIndex{20050}, 400}, 0.8f, course.now + 5});
    second.next.push_back({{PageIndex{8000}, 10}, 0.8f, course.now + 5}); // there since it was used
    course.step();
    CHECK(course.ordered() == 450);
    course.say(20000, 450, 5);
    course.step();
    CHECK(course.ordered() == 0);
    // Once they have left again they can be ordered again.
    course.say(20000, 450, 5);
    course.step({{PageIndex{20010}, 5, AccessKind::left}});
    CHECK(course.ordered() == 5);
    // After accesses were lost nothing is known, and the engine is asked.
    course.tournament.lost();
    course.say(8000, 10, 5);
    course.step();
    CHECK(course.ordered() == 10);

    Tournament fresh(kPages, 1000);
    Parrot third(Origin::phases);
    fresh.add(third);
    third.next.push_back({{PageIndex{0}, 1000}, 1, 100});
    for (int i = 0; i < 9; ++i)
        CHECK(fresh.step({i * 0.25, 0.25, {}, {}}, {}).empty());
}

TEST_CASE("a predictor that is off sees and orders nothing, and keeps what it had earned") {
    Course course;
    be_right(course, 0);
    course.tournament.set_budget(0);
    course.say(30000, 100, 5);
    course.step();
    course.tournament.enable(Origin::phases, true); // as it was: what waits goes on waiting
    course.tournament.set_budget(100'000);
    course.step();
    CHECK(course.ordered() == 100);
    course.tournament.enable(Origin::phases, false);
    const int seen = course.parrot.seen;
    course.say(20000, 100, 5);
    course.step();
    CHECK(course.ordered() == 0);
    CHECK(course.parrot.seen == seen);
    CHECK_FALSE(course.standing().enabled);
    CHECK_FALSE(course.standing().earning);
    course.tournament.enable(Origin::phases, true);
    course.step();
    CHECK(course.ordered() == 100);
}

TEST_CASE("odd expectations and accesses do no harm, and memory is bounded") {
    Course course;
    be_right(course, 0);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    course.say(kPages, 1, 5);
    course.say(UINT32_MAX, UINT32_MAX, 5);
    course.say(100, 0, 5);
    course.say(30000, 10, 5, nan);
    course.say(30000, 10, 5, -1);
    course.say(30000, 10, -5);
    course.say(30000, 10, std::nan(""));
    course.step({{PageIndex{UINT32_MAX}, UINT32_MAX, AccessKind::stored},
                 {PageIndex{kPages - 1}, 100, AccessKind::left}});
    CHECK(course.ordered() == 0);
    course.say(kPages - 10, 1000, 5, 7);
    course.step();
    CHECK(course.ordered() == 10);
    CHECK(course.orders[0].confidence <= 1);
    for (std::uint32_t i = 0; i < 100'000; ++i)
        course.say(i * 7 % kPages, 1, 1000);
    course.step();
    course.say(0, 1, 1);
    course.step();
    CHECK(course.tournament.bytes() <
          kPages / 4 + (100u << 10) + 256 * 1024 + 100'000 * 48 + 65536);
}

TEST_CASE("with phases on a guest that moves between three sets, faults fall to less than half") {
    std::uint64_t faults[2] = {};
    for (const bool on : {false, true}) {
        TinyGuest guest(kPages, kPages / 4);
        Phases phases(kPages);
        Tournament tournament(kPages, 100'000);
        tournament.add(phases);
        Outcomes outcomes{};
        guest.on_window = [&](const Window &window) {
            for (const Access &one : window.accesses) {
                Outcome &by = outcomes[static_cast<std::size_t>(one.origin)];
                by.used += one.kind == AccessKind::prefetched;
                by.wasted += one.kind == AccessKind::wasted;
            }
            for (const Order &order : tournament.step(window, outcomes))
                if (on)
                    guest.order(order.run, order.origin);
        };
        std::mt19937 random(2);
        const auto sets = scattered_sets(kPages, 3, 0.2, 8);
        fill(guest, kPages);
        for (int i = 0; i < 15; ++i) {
            const std::uint64_t before = guest.faults;
            work_in(guest, sets[static_cast<std::size_t>(i % 3)], 4.1, random);
            faults[on] += i >= 6 ? guest.faults - before : 0;
        }
        if (on)
            CHECK(tournament.standings()[0].earning);
    }
    INFO(faults[1] << " of " << faults[0]);
    CHECK(2 * faults[1] < faults[0]);
}

TEST_CASE("with phases on uniform traffic, trial reads stay below one in a hundred") {
    TinyGuest guest(kPages, kPages / 4);
    Phases phases(kPages);
    Tournament tournament(kPages, 100'000);
    tournament.add(phases);
    std::uint64_t ordered = 0;
    guest.on_window = [&](const Window &window) {
        for (const Order &order : tournament.step(window, {}))
            ordered += order.run.count;
    };
    fill(guest, kPages);
    std::mt19937 random(4);
    for (int i = 0; i < 500'000; ++i)
        guest.touch(static_cast<std::uint32_t>(random()) % kPages);
    CHECK(ordered * 100 <= guest.faults);
}
