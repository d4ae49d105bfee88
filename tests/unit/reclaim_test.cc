// SPDX-License-Identifier: GPL-2.0-or-later
//
// Proactive reclaim: how often it looks, when it stops, and what guests of several kinds lose to it.
#include "engine/reclaim.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <cstdint>
#include <deque>
#include <vector>

namespace tidemark {
namespace {

Reclaim::Sight at(double now, double waited, double waited_staged = 0) {
    return {.now = now,
            .waited = waited,
            .waited_staged = waited_staged,
            .io_pressure = 0,
            .short_of_dram = false};
}

TEST_CASE("every region is looked at several times in a cold age") {
    Reclaim reclaim;
    reclaim.configure(20, 120);
    CHECK_FALSE(reclaim.may_probe()); // nothing is known yet
    std::uint32_t looks = 0;
    for (int tick = 0; tick <= 600; ++tick) {
        reclaim.look(at(0.2 * tick, 0));
        looks += reclaim.due(512);
    }
    CHECK(looks > 512 * 7);
    CHECK(looks <= 512 * 8);
}

TEST_CASE("a guest that loses too much time is left alone, longer each time") {
    Reclaim reclaim;
    reclaim.configure(20, 120);
    double now = 0, waited = 0;
    const auto run = [&](double seconds, double lost_share) {
        double probing = 0;
        for (double end = now + seconds; now < end; now += 0.2, waited += 0.2 * lost_share) {
            reclaim.look(at(now, waited));
            probing += reclaim.may_probe() ? 0.2 : 0;
        }
        return probing / seconds;
    };
    CHECK(run(20, 0.001) > 0.95);
    CHECK(run(200, 0.2) < 0.2);
    run(300, 0);
    CHECK(run(20, 0.001) > 0.95);
}

TEST_CASE("pressure and busy disks stop it, each in its way") {
    Reclaim reclaim;
    reclaim.configure(20, 120);
    reclaim.look({.now = 1, .waited = 0, .io_pressure = 0.5, .short_of_dram = false});
    CHECK(reclaim.may_probe());
    CHECK_FALSE(reclaim.may_write());
    reclaim.look({.now = 2, .waited = 0, .io_pressure = 0, .short_of_dram = true});
    CHECK_FALSE(reclaim.may_probe());
    reclaim.configure(0, 120);
    reclaim.look(at(3, 0));
    CHECK_FALSE(reclaim.may_write());
}

TEST_CASE(
    "for a record all is looked at soon, whatever the tiers cost, but not what probing costs") {
    const std::uint32_t slowdown = GENERATE(0u, 20u); // off, too
    Reclaim reclaim;
    reclaim.configure(slowdown, 3600);
    double now = 0, waited = 0, staged = 0;
    const auto looks = [&](double seconds, double lost, double lost_staged) {
        std::uint32_t count = 0;
        for (double end = now + seconds; now < end; now += 0.2) {
            waited += 0.2 * lost;
            staged += 0.2 * lost_staged;
            reclaim.look(at(now, waited, staged));
            count += reclaim.due(512);
            CHECK((slowdown != 0 || !reclaim.may_write()));
        }
        return count;
    };
    CHECK(looks(30, 0.5, 0) < 16); // paused for what is lost, or off
    reclaim.configure(slowdown, 3600, true);
    const std::uint32_t first = looks(Reclaim::kRecordSweep + 1, 0.5, 0);
    CHECK(first >= 512);
    CHECK(first <= 640);
    CHECK(looks(60, 0.5, 0.2) < 1200); // of 3840
    reclaim.configure(slowdown, 3600, false);
    CHECK(looks(30, 0.5, 0) < 16);
}

// A guest's pages as the engine has them, in steps of a tick. What is visited comes round after `period` seconds.
class Guest {
  public:
    struct Kind {
        std::uint32_t visited = 0, never = 0; // pages
        double period = 0;
        bool at_once = false; // all at the same moment, or spread evenly over the period
    };
    Guest(const Kind &kind, double cold_age)
        : cold_age_(cold_age), period_(kind.period), pages_(kind.visited + kind.never) {
        for (std::uint32_t i = 0; i < pages_.size(); ++i) {
            const double share = kind.at_once ? 1 : (i + 1.0) / kind.visited;
            if (i < kind.visited)
                visits_.push_back({share * kind.period, i});
            resident_.push_back({0, i});
        }
        reclaim_.configure(20, static_cast<std::uint32_t>(cold_age));
    }

    // Returns the most that a minute of it cost, as a share of time.
    double run(double seconds) {
        double worst = 0;
        std::deque<double> waits{0};
        for (const double end = now_ + seconds; now_ < end; now_ += kTick) {
            visit();
            reclaim_.look({.now = now_,
                           .waited = waited_ + waited_staged_,
                           .waited_staged = waited_staged_,
                           .left = left_,
                           .returns = returns_,
                           .late = late_,
                           .io_pressure = 0,
                           .short_of_dram = false});
            probe();
            leave(reclaim_.may_leave());
            waits.push_back(waited_ + waited_staged_);
            if (waits.size() > kMinute) {
                worst = std::max(worst, (waits.back() - waits.front()) / 60);
                waits.pop_front();
            }
        }
        return worst;
    }
    double waited() const { return waited_ + waited_staged_; }
    double share_out() const {
        return static_cast<double>(out_) / static_cast<double>(pages_.size());
    }

  private:
    static constexpr std::size_t kMinute = 300; // ticks
    static constexpr double kTick = 0.2, kStagedCost = 10e-6, kStoredCost = 60e-6;
    enum class Place : std::uint8_t { resident, staged, stored };
    struct Page {
        double since = 0;
        Place place = Place::resident;
    };
    struct Due {
        double when;
        std::uint32_t page;
    };

    void visit() {
        for (; !visits_.empty() && visits_.front().when <= now_; visits_.pop_front()) {
            const auto [when, number] = visits_.front();
            Page &page = pages_[number];
            if (page.place == Place::staged) {
                waited_staged_ += kStagedCost;
                late_ += now_ - page.since >= cold_age_ / 4 ? 1 : 0;
            } else if (page.place == Place::stored) {
                waited_ += kStoredCost;
                ++returns_;
                --out_;
            }
            page = {now_, Place::resident};
            resident_.push_back({now_, number});
            visits_.push_back({when + period_, number});
        }
    }
    // The queues have stale entries: a page that has changed place since is not due.
    void probe() {
        for (; !resident_.empty() && resident_.front().when <= now_ - cold_age_ / 2 &&
               reclaim_.may_probe_more();
             resident_.pop_front()) {
            Page &page = pages_[resident_.front().page];
            if (page.place != Place::resident || page.since != resident_.front().when)
                continue;
            page = {now_, Place::staged};
            staged_.push_back({now_, resident_.front().page});
            reclaim_.probed(1);
        }
    }
    void leave(std::uint64_t most) {
        for (; !staged_.empty() && staged_.front().when <= now_ - cold_age_ / 2;
             staged_.pop_front()) {
            Page &page = pages_[staged_.front().page];
            if (page.place != Place::staged || page.since != staged_.front().when)
                continue;
            if (most-- == 0)
                return;
            page.place = Place::stored;
            ++left_;
            ++out_;
        }
    }

    const double cold_age_, period_;
    Reclaim reclaim_;
    std::vector<Page> pages_;
    std::deque<Due> visits_, resident_, staged_;
    double now_ = 0, waited_ = 0, waited_staged_ = 0;
    std::uint64_t left_ = 0, returns_ = 0, late_ = 0, out_ = 0;
};

TEST_CASE("a guest that does nothing has left DRAM after two cold ages") {
    const double cold_age = GENERATE(10.0, 300.0);
    Guest guest({.visited = 0, .never = 262144, .period = 1, .at_once = false}, cold_age);
    CHECK(guest.run(2 * cold_age) == 0);
    CHECK(guest.share_out() > 0.95);
}

TEST_CASE("pages that return when they have just left cost no more than the bound") {
    // 512 MiB with a short cold age, 4 GiB with the normal one; beside it what never comes back.
    const double cold_age = GENERATE(10.0, 300.0);
    const double period = cold_age * GENERATE(1.2, 1.5, 2.0, 4.0);
    const std::uint32_t visited = cold_age < 100 ? 131072 : 1048576;
    Guest guest({.visited = visited, .never = visited / 2, .period = period, .at_once = false},
                cold_age);
    INFO("cold age " << cold_age << ", period " << period);
    const double worst = guest.run(10 * period);
    INFO("worst minute " << worst << ", out " << guest.share_out());
    CHECK(worst <= 0.021);           // the first has to be learnt from
    CHECK(guest.share_out() >= 0.3); // what never comes back leaves all the same
}

TEST_CASE("pages that return all at once surprise it once") {
    const double cold_age = GENERATE(10.0, 300.0);
    const double period = cold_age * GENERATE(1.2, 2.0, 4.0);
    const std::uint32_t visited = cold_age < 100 ? 131072 : 1048576;
    Guest guest({.visited = visited, .never = visited / 2, .period = period, .at_once = true},
                cold_age);
    guest.run(1.5 * period);
    const double before = guest.waited();
    guest.run(10 * period);
    INFO("cold age " << cold_age << ", period " << period << ", out " << guest.share_out());
    CHECK((guest.waited() - before) / (10 * period) <= 0.02);
}

} // namespace
} // namespace tidemark
