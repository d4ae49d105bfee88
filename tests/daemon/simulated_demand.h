// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests that want DRAM, without machines: each has a law of how many refaults a second it has with so much
// DRAM, shows the arbiter what a real profile would show of it, and fills or leaves DRAM at its own pace.
#pragma once

#include "daemon/arbiter_curves.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tidemark::daemon {

inline constexpr std::uint64_t kMiB = 1 << 20;

// The most used of its working set's pages take most of the accesses: with m of ws bytes in DRAM, a share of
// (m / ws)^shape needs no tier.
struct SimulatedGuest {
    std::string id;
    std::uint64_t memory = 0, floor = 0, limit = 0, used = 0;
    std::uint64_t working_set = 0;
    double accesses = 0; // a second, to pages that could be out
    double shape = 0.5;
    std::uint32_t priority = 100;
    bool fixed = false;
    std::uint64_t dram = 0; // what its domain asks for

    std::uint64_t most() const { return fixed ? dram : memory; }
    double refaults(std::uint64_t dram_bytes) const {
        const double share =
            std::min(1.0, static_cast<double>(dram_bytes) / static_cast<double>(working_set));
        return accesses * (1 - std::pow(share, shape));
    }
    // Bytes of DRAM, of so much, whose pages are each used less than once in so many seconds.
    std::uint64_t cold(std::uint64_t dram_bytes, double seconds) const {
        const double ws = static_cast<double>(working_set);
        // A page at position x of the working set is used accesses * shape * x^(shape - 1) / pages times a second.
        const double rate = accesses * shape / (ws / 4096);
        const double x = rate <= 0 ? 0 : std::pow(1 / (seconds * rate), 1 / (shape - 1));
        const double hot = std::min(ws * std::clamp(x, 0.0, 1.0), static_cast<double>(dram_bytes));
        return dram_bytes - static_cast<std::uint64_t>(hot);
    }

    GuestDemand demand(std::mt19937_64 &random, double noise) const {
        std::uniform_real_distribution<double> about(1 - noise, 1 + noise);
        UseOfDram use{.watched = limit < memory, .memory = memory, .limit = limit, .used = used};
        const double now = refaults(used);
        use.refaults_per_second = now * about(random);
        for (const std::uint64_t part : {64, 32, 16, 8, 4, 2, 1}) {
            const std::uint64_t more = memory / part;
            const double share = now <= 0 ? 0 : 1 - refaults(used + more) / now;
            use.more.push_back({more, std::clamp(share * about(random), 0.0, 1.0)});
        }
        for (const std::uint32_t seconds : {30U, 120U, 600U}) {
            const std::uint64_t bytes = cold(used, seconds);
            use.cold.push_back({seconds, bytes, static_cast<std::uint64_t>(0.9 * double(bytes))});
        }
        return {.id = id,
                .limit = limit,
                .used = used,
                .floor = floor,
                .most = most(),
                .memory = memory,
                .priority = priority,
                .lost = 0,
                .known = true,
                .gains = gains_of(use),
                .losses = losses_of(use)};
    }

    // Leaves DRAM in a round or two, fills it as it uses more.
    void live() {
        if (used > limit) {
            used -= std::min(used - limit, std::max<std::uint64_t>(64 * kMiB, memory / 8));
        } else {
            const std::uint64_t wanted = std::min(limit, working_set);
            used = std::max(used, std::min(wanted, used + memory / 8));
        }
    }
};

class SimulatedHost {
  public:
    SimulatedHost(std::uint64_t seed, std::uint64_t dram) : random(seed), budget(dram) {}

    SimulatedGuest make() {
        const auto between = [&](double low, double high) {
            return std::uniform_real_distribution<double>(low, high)(random);
        };
        SimulatedGuest guest;
        guest.id = "guest" + std::to_string(++made_);
        guest.memory = (std::uint64_t{1} << std::uniform_int_distribution<int>(0, 4)(random)) << 30;
        guest.floor = static_cast<std::uint64_t>(double(guest.memory) * between(0, 0.08));
        guest.dram = guest.memory / 4;
        guest.fixed = between(0, 1) < 0.1;
        guest.priority = between(0, 1) < 0.1 ? 400 : 100;
        change_phase(guest);
        return guest;
    }
    // Zipf-like over guests: most want next to nothing, a few want a lot.
    void change_phase(SimulatedGuest &guest) {
        std::uniform_real_distribution<double> between(0, 1);
        guest.accesses = 60000 / std::pow(1 + 999 * between(random), 0.9);
        guest.shape = 0.2 + 0.5 * between(random);
        guest.working_set =
            static_cast<std::uint64_t>(double(guest.memory) * (0.1 + 0.85 * between(random)));
    }
    // False if its floor does not fit.
    bool start(SimulatedGuest guest) {
        const auto limit = admit(budget, demands(0), guest.id, guest.floor, guest.dram);
        if (!limit) {
            return false;
        }
        guest.limit = *limit;
        guests.push_back(std::move(guest));
        return true;
    }
    std::vector<GuestDemand> demands(double noise) {
        std::vector<GuestDemand> all;
        for (const SimulatedGuest &guest : guests) {
            all.push_back(guest.demand(random, noise));
        }
        return all;
    }
    std::uint64_t sum_of_limits() const {
        std::uint64_t sum = 0;
        for (const SimulatedGuest &guest : guests) {
            sum += guest.limit;
        }
        return sum;
    }
    // Priority-weighted refaults a second with the limits as they are, and if all had the same.
    double faults() const {
        double sum = 0;
        for (const SimulatedGuest &guest : guests) {
            sum += guest.priority / 100.0 * guest.refaults(guest.limit);
        }
        return sum;
    }
    double faults_with_equal_shares() const {
        std::uint64_t share = budget / guests.size(), low = share, high = budget;
        const auto needed = [&](std::uint64_t each) {
            std::uint64_t sum = 0;
            for (const SimulatedGuest &guest : guests) {
                sum += std::clamp(each, guest.floor, guest.most());
            }
            return sum;
        };
        while (low + kMiB < high) { // what small guests can't take goes to the others
            share = low + (high - low) / 2;
            (needed(share) <= budget ? low : high) = share;
        }
        double sum = 0;
        for (const SimulatedGuest &guest : guests) {
            sum +=
                guest.priority / 100.0 * guest.refaults(std::clamp(low, guest.floor, guest.most()));
        }
        return sum;
    }
    // The least that any limits could come to: all guests lose the same by a byte less.
    double least_faults() const {
        const auto share_of = [&](const SimulatedGuest &guest, double price) {
            const double ws = static_cast<double>(guest.working_set);
            const double worth = guest.priority / 100.0 * guest.accesses * guest.shape / ws;
            const double bytes = ws * std::min(1.0, std::pow(price / worth, 1 / (guest.shape - 1)));
            return std::clamp(static_cast<std::uint64_t>(bytes), guest.floor, guest.most());
        };
        double low = 1e-15, high = 1;
        for (int i = 0; i < 200; ++i) {
            const double price = std::sqrt(low * high);
            std::uint64_t sum = 0;
            for (const SimulatedGuest &guest : guests) {
                sum += share_of(guest, price);
            }
            (sum > budget ? low : high) = price;
        }
        double sum = 0;
        for (const SimulatedGuest &guest : guests) {
            sum += guest.priority / 100.0 * guest.refaults(share_of(guest, high));
        }
        return sum;
    }

    std::mt19937_64 random;
    std::uint64_t budget;
    std::vector<SimulatedGuest> guests;

  private:
    std::uint64_t made_ = 0;
};

} // namespace tidemark::daemon
