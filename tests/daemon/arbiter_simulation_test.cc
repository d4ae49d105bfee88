// SPDX-License-Identifier: GPL-2.0-or-later
//
// A thousand guests under one budget that start, stop and change what they do: what must hold in every
// round, and what it comes to when they settle. TIDEMARK_SEED=n plays another host than the usual three.
#include "daemon/simulated_demand.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

using namespace tidemark::daemon;

namespace {

constexpr std::uint64_t kBudget = 2000ULL << 30; // for some 6200 GiB of guests

std::vector<std::uint64_t> seeds() {
    const char *one = std::getenv("TIDEMARK_SEED"); // NOLINT(concurrency-mt-unsafe)
    if (one != nullptr) {
        return {std::strtoull(one, nullptr, 0)};
    }
    return {1, 2, 3};
}

// One round; checks the laws.
void run_round(Arbiter &arbiter, SimulatedHost &host, double noise, bool forced) {
    const auto demands = host.demands(noise);
    const auto grants = arbiter.round({host.budget, false}, demands);
    REQUIRE(grants.size() == host.guests.size());
    std::uint64_t sum = 0, held = 0;
    for (std::size_t i = 0; i < grants.size(); ++i) {
        SimulatedGuest &guest = host.guests[i];
        const std::uint64_t was = guest.limit, now = grants[i].limit;
        const std::uint64_t moved = now > was ? now - was : was - now;
        // One assertion for all: there are millions of them.
        const bool lawful = grants[i].id == guest.id && now >= guest.floor && now <= guest.most() &&
                            (forced || moved <= Arbiter::max_step(guest.memory) + Arbiter::kGrain);
        if (!lawful) {
            FAIL(guest.id << " of " << guest.memory << " goes from " << was << " to " << now
                          << ", floor " << guest.floor << ", at most " << guest.most());
        }
        guest.limit = now;
        sum += now;
        held += std::max(now, guest.used);
    }
    REQUIRE(sum <= host.budget);
    if (!forced) {
        REQUIRE(held <= host.budget);
    }
    for (SimulatedGuest &guest : host.guests) {
        guest.live();
    }
}

void come_and_go(SimulatedHost &host) {
    std::uniform_real_distribution<double> chance(0, 1);
    for (std::size_t i = 0; i < host.guests.size();) {
        if (chance(host.random) < 0.004) {
            host.guests.erase(host.guests.begin() + static_cast<std::ptrdiff_t>(i));
            continue;
        }
        if (chance(host.random) < 0.01) {
            host.change_phase(host.guests[i]);
        }
        ++i;
    }
    while (host.guests.size() < 1000) {
        if (!host.start(host.make())) {
            break;
        }
    }
}

} // namespace

TEST_CASE("a thousand guests that come, go and change keep the budget, and settle when they do") {
    const std::uint64_t seed = GENERATE(from_range(seeds()));
    const double noise = GENERATE(0.0, 0.05);
    CAPTURE(seed, noise);
    SimulatedHost host(seed, kBudget);
    while (host.guests.size() < 1000) {
        REQUIRE(host.start(host.make()));
    }
    Arbiter arbiter;
    for (int round = 0; round < 150; ++round) {
        come_and_go(host);
        // A guest that is given its floor when nothing is free takes it from the others at once.
        run_round(arbiter, host, noise, host.sum_of_limits() > host.budget);
    }
    REQUIRE(host.guests.size() > 900);

    // Demand is constant from here on.
    std::map<std::string, std::uint64_t> limit_of, direction_of;
    std::map<std::string, int> turns;
    std::uint64_t moved_late = 0;
    for (int round = 0; round < 240; ++round) {
        for (const SimulatedGuest &guest : host.guests) {
            limit_of[guest.id] = guest.limit;
        }
        run_round(arbiter, host, noise, false);
        for (const SimulatedGuest &guest : host.guests) {
            const std::uint64_t was = limit_of[guest.id];
            if (guest.limit == was) {
                continue;
            }
            const std::uint64_t direction = guest.limit > was ? 1 : 2;
            turns[guest.id] += direction_of[guest.id] != 0 && direction_of[guest.id] != direction;
            direction_of[guest.id] = direction;
            if (round >= 200) {
                moved_late += guest.limit > was ? guest.limit - was : was - guest.limit;
            }
        }
    }
    int most_turns = 0;
    for (const auto &[id, count] : turns) {
        most_turns = std::max(most_turns, count);
    }
    const double faults = host.faults(), equal = host.faults_with_equal_shares(),
                 least = host.least_faults();
    std::printf("seed %llu, noise %.2f: %.0f faults/s; equal shares %.0f, the best there is %.0f; "
                "turns at most %d, moved in the last 40 rounds: %.2f %% of the budget\n",
                static_cast<unsigned long long>(seed), noise, faults, equal, least, most_turns,
                100.0 * static_cast<double>(moved_late) / static_cast<double>(host.budget));
    CHECK(faults < 0.6 * equal);
    CHECK(faults < 1.1 * least);
    CHECK(most_turns <=
          20); // in 240 rounds: who turns fast is left alone, slow turns take kRun each
    CHECK(moved_late < host.budget / 100);
}
