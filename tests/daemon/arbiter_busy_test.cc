// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests that work as fast as their memory lets them, each for itself wanting all there is. Who has more DRAM works
// faster and so gains more by a MiB, until it has all it uses and nothing is seen of what it would miss: the market
// has no resting point of its own. The arbiter has to find one. TIDEMARK_SEED=n plays another host.
#include "daemon/arbiter_curves.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

using namespace tidemark::daemon;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr double kRound = 5;                // seconds
constexpr double kHit = 5e-6, kMiss = 1e-4; // seconds an access takes
constexpr double kRateKept = 0.7;           // of a rate, a round later
constexpr double kLostKept = 0.6;           // of the share of time lost
constexpr int kLostEvery = 2;               // rounds between two reports of it
constexpr std::size_t kRounds = 1920, kLate = 960;

struct BusyGuest {
    std::string id;
    double working_set = 178.0 * kMiB; // used at random
    std::uint64_t memory = 256 * kMiB, floor = 48 * kMiB, limit = 128 * kMiB, used = 4 * kMiB;
    double refaults = 0, lost = 0, lost_as_told = 0;
    double disk = 0,
           curve = 0; // logarithms of what disturbs the one, and what is seen of the other
    int direction = 0, turns = 0;

    double missed(std::uint64_t dram) const {
        return std::max(0.0, 1 - static_cast<double>(dram) / working_set);
    }

    GuestDemand demand() const {
        UseOfDram use{.watched = limit < memory, .memory = memory, .limit = limit, .used = used};
        use.refaults_per_second = refaults;
        const double now = missed(used);
        for (const std::uint64_t part : {64, 32, 16, 8, 4, 2, 1}) {
            const double share = now <= 0 ? 1 : 1 - missed(used + memory / part) / now;
            use.more.push_back({memory / part, std::clamp(share * std::exp(curve), 0.0, 1.0)});
        }
        for (const std::uint32_t seconds : {30U, 120U, 600U}) {
            use.cold.push_back({seconds, 0, 0}); // all of it was used just now
        }
        return {.id = id,
                .limit = limit,
                .used = used,
                .floor = floor,
                .most = memory,
                .memory = memory,
                .lost = lost_as_told,
                .known = true,
                .gains = gains_of(use),
                .losses = losses_of(use)};
    }

    void live(std::size_t round, std::mt19937_64 &random, double noise) {
        std::normal_distribution<double> normal(0, 1);
        for (double *disturbed : {&disk, &curve}) { // lasts for some rounds
            *disturbed = 0.8 * *disturbed + 0.6 * noise * normal(random);
        }
        const double waits = missed(used) * kMiss * std::exp(disk);
        const double rate = missed(used) / (kHit + waits);
        refaults = kRateKept * refaults + (1 - kRateKept) * rate;
        lost = kLostKept * lost + (1 - kLostKept) * waits / (kHit + waits);
        if (round % kLostEvery == 0) {
            lost_as_told = lost;
        }
        const auto wanted = std::min(limit - std::min(limit / 16, kKeptFree),
                                     static_cast<std::uint64_t>(working_set));
        if (used > limit) {
            used -= std::min(used - limit, 64 * kMiB);
        } else if (used < wanted) {
            used = std::min(wanted, used + static_cast<std::uint64_t>(rate * kRound * 4096));
        }
    }
};

struct Moved {
    std::uint64_t first = 0, late = 0; // bytes, in the first kLate rounds and from then on
};

Moved play(std::vector<BusyGuest> &guests, std::uint64_t budget, double noise, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Arbiter arbiter;
    Moved moved;
    for (std::size_t round = 0; round < kRounds; ++round) {
        std::vector<GuestDemand> demands;
        for (const BusyGuest &guest : guests) {
            demands.push_back(guest.demand());
        }
        const auto grants = arbiter.round({budget, false}, demands);
        for (std::size_t i = 0; i < guests.size(); ++i) {
            BusyGuest &guest = guests[i];
            const std::uint64_t now = grants[i].limit;
            if (const int direction = (now > guest.limit) - (now < guest.limit); direction != 0) {
                guest.turns += guest.direction == -direction;
                guest.direction = direction;
            }
            (round < kLate ? moved.first : moved.late) +=
                std::max(now, guest.limit) - std::min(now, guest.limit);
            guest.limit = now;
            guest.live(round, random, noise);
        }
    }
    return moved;
}

std::uint64_t first_seed() {
    const char *one = std::getenv("TIDEMARK_SEED"); // NOLINT(concurrency-mt-unsafe)
    return one != nullptr ? std::strtoull(one, nullptr, 0) : 1;
}

} // namespace

TEST_CASE("busy guests that each want all there is don't rob each other in turn for ever") {
    constexpr std::uint64_t kSeeds = 10;
    const std::size_t count = GENERATE(2, 3, 6, 12);
    const double noise = GENERATE(0.0, 0.3);
    CAPTURE(count, noise);
    const std::uint64_t budget = count * 128 * kMiB;
    double first = 0, late = 0;
    int turns = 0;
    for (std::uint64_t seed = first_seed(); seed < first_seed() + kSeeds; ++seed) {
        std::vector<BusyGuest> guests(count);
        for (std::size_t i = 0; i < count; ++i) {
            guests[i].id = "guest" + std::to_string(i);
        }
        guests[0].limit += 72 * kMiB; // none starts with what all get
        guests[1].limit -= 72 * kMiB;
        const Moved moved = play(guests, budget, noise, seed);
        first += static_cast<double>(moved.first) / static_cast<double>(budget * kSeeds);
        late += static_cast<double>(moved.late) / static_cast<double>(budget * kSeeds);
        for (const BusyGuest &guest : guests) {
            turns = std::max(turns, guest.turns);
        }
    }
    std::printf("%zu busy guests, noise %.1f: moved %.2f of the budget in the first 80 minutes, "
                "%.2f in the next; turns at "
                "most %d\n",
                count, noise, first, late, turns);
    CHECK(late < 1.5);
}
