// SPDX-License-Identifier: GPL-2.0-or-later
//
// Synthetic heat of regions, step by step (a second each), to compare forecasters on. All a function of the seed.
#pragma once

#include "base/units.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tidemark::perf {

using Trace = std::vector<std::vector<float>>; // [step][region]

class HeatTraces {
  public:
    static constexpr std::uint32_t kRegions = 128;
    static constexpr std::size_t kSteps = 1200;

    explicit HeatTraces(std::uint32_t seed) : random_(seed) {}

    // Zipf over regions, the same throughout.
    Trace stationary() {
        const auto order = shuffled();
        return make([&](std::size_t, std::uint32_t region) {
            return 300.0 / std::pow(1.0 + order[region], 0.99);
        });
    }
    // Three sets of a fifth of the regions in turn; stays are 20 s, give or take one.
    Trace phases() {
        const auto order = shuffled();
        std::vector<int> where;
        for (int set = 0; where.size() < kSteps; set = (set + 1) % 3)
            where.insert(where.end(), 19 + random_() % 3, set);
        return make([&, where](std::size_t step, std::uint32_t region) {
            const std::uint32_t set = order[region] / (kRegions / 5);
            return set == static_cast<std::uint32_t>(where[step]) ? 120.0 : 1.0;
        });
    }
    // A job of 12 s every 40 s, in which regions have their turn one after the other, beside steady work.
    Trace periodic() {
        const auto order = shuffled();
        return make([&](std::size_t step, std::uint32_t region) {
            if (order[region] < kRegions / 8)
                return 150.0;
            if (order[region] >= kRegions / 2)
                return 0.5;
            const std::size_t begins = order[region] % 10;
            const std::size_t at = step % 40;
            return at >= begins && at < begins + 3 ? 200.0 : 0.5;
        });
    }
    // A hot window of 16 regions that moves by one every 5 s.
    Trace drift() {
        return make([](std::size_t step, std::uint32_t region) {
            const auto front = static_cast<std::uint32_t>(step / 5 % kRegions);
            return (region + kRegions - front) % kRegions < 16 ? 150.0 : 1.0;
        });
    }
    // Each region is hot for a few seconds now and then, at random.
    Trace random() {
        std::vector<std::size_t> until(kRegions);
        Trace trace;
        for (std::size_t step = 0; step < kSteps; ++step) {
            std::vector<float> heat;
            for (std::uint32_t region = 0; region < kRegions; ++region) {
                if (random_() % 50 == 0)
                    until[region] = step + 1 + random_() % 6;
                heat.push_back(noisy(step < until[region] ? 150 : 1));
            }
            trace.push_back(heat);
        }
        return trace;
    }

  private:
    std::vector<std::uint32_t> shuffled() {
        std::vector<std::uint32_t> order(kRegions);
        for (std::uint32_t i = 0; i < kRegions; ++i)
            order[i] = i;
        for (std::uint32_t left = kRegions; left > 1; --left)
            std::swap(order[left - 1], order[random_() % left]);
        return order;
    }
    // About Poisson: what a count with that mean looks like.
    float noisy(double mean) {
        double sum = 0;
        for (int i = 0; i < 12; ++i)
            sum += static_cast<double>(random_()) / 4294967296.0;
        const double count = std::floor(mean + (sum - 6) * std::sqrt(mean) + 0.5);
        return static_cast<float>(std::clamp(count, 0.0, double{kRegionPages}));
    }
    template <typename Mean> Trace make(Mean mean) {
        Trace trace;
        for (std::size_t step = 0; step < kSteps; ++step) {
            std::vector<float> heat;
            for (std::uint32_t region = 0; region < kRegions; ++region)
                heat.push_back(noisy(mean(step, region)));
            trace.push_back(heat);
        }
        return trace;
    }

    std::mt19937 random_;
};

} // namespace tidemark::perf
