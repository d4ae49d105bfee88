// SPDX-License-Identifier: GPL-2.0-or-later
//
// Phases on a simulated guest, and what they named.
#pragma once

#include "predict/phases.h"
#include "tiny_guest.h"

#include <algorithm>
#include <set>
#include <vector>

namespace tidemark::test {

inline constexpr std::uint32_t kPages = 65536;
inline constexpr std::size_t kAll = SIZE_MAX, kTrial = 8;

struct Watched {
    // ordered: so many of the runs named after a window are brought in.
    explicit Watched(std::size_t ordered = 0, std::uint32_t dram = kPages / 4)
        : guest(kPages, dram) {
        phases.set_room(dram);
        guest.on_window = [this, ordered](const Window &window) {
            phases.observe(window);
            std::vector<Expectation> now;
            phases.expect(now);
            named.insert(named.end(), now.begin(), now.end());
            for (std::size_t i = 0; i < std::min(ordered, now.size()); ++i)
                guest.order(now[i].run, Origin::phases);
            if (!now.empty())
                times.push_back(window.begin + window.seconds);
        };
    }
    std::uint64_t named_pages() const {
        std::uint64_t sum = 0;
        for (const Expectation &one : named)
            sum += one.run.count;
        return sum;
    }
    std::uint64_t named_of(const std::vector<std::uint32_t> &set) const {
        const std::set<std::uint32_t> members(set.begin(), set.end());
        std::uint64_t sum = 0;
        for (const Expectation &one : named)
            for (std::uint32_t i = 0; i < one.run.count; ++i)
                sum += members.contains(one.run.first.value + i);
        return sum;
    }
    void forget_named() {
        named.clear();
        times.clear();
    }

    double started = 1.8e9; // by the wall clock
    Phases phases{kPages, [this] { return started + guest.now; }};
    TinyGuest guest;
    std::vector<Expectation> named;
    std::vector<double> times;
};

} // namespace tidemark::test
