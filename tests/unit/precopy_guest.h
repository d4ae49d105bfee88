// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest that writes, page by page and millisecond by millisecond, and stock QEMU's precopy of it: the truth that
// forecasts are held against. It shares nothing with them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace tidemark::tests {

// Pages [first, first + count) and how they are written.
struct Writer {
    std::uint32_t first = 0, count = 0;
    double rate = 0;                          // writes per page and second
    bool sweep = false;                       // in order, at even intervals; else at random
    double cycle = 0, busy = 0, position = 0; // as in WriteClass
};

struct Workload {
    std::string name;
    std::uint32_t pages = 0;
    double bandwidth = 0;      // bytes a second
    double downtime_limit = 0; // seconds
    std::vector<Writer> writers;
};

struct Setting {
    double bandwidth = 0, downtime_limit = 0, slowdown = 0, start = 0, patience = 60;
    std::uint64_t seed = 1;
};

struct Outcome {
    bool converged = false;
    double seconds = 0, bytes = 0, downtime = 0;
    unsigned syncs = 0;
};

inline constexpr double kMillisecond = 0.001, kStreamPage = 4104;

using Pages = std::vector<std::uint8_t>; // 0 or 1 each

class PageGuest {
  public:
    PageGuest(const Workload &load, double slowdown, std::uint64_t seed)
        : load_(load), slowdown_(slowdown), state_(seed), dirty_(load.pages),
          done_(load.writers.size()) {
        for (std::size_t i = 0; i < done_.size(); ++i)
            done_[i] = double(random(load.writers[i].count));
    }
    // One tick of writes at `now`, which sets bits in the dirty log.
    void tick(double now) {
        for (std::size_t i = 0; i < load_.writers.size(); ++i) {
            const Writer &w = load_.writers[i];
            if (w.cycle > 0 && std::fmod(now + w.position, w.cycle) >= w.busy)
                continue;
            const double writes = w.rate * (1 - slowdown_) * w.count * kMillisecond;
            const double until = done_[i] + writes;
            for (double at = std::ceil(done_[i]); at < until; at += 1)
                dirty_[w.first + (w.sweep ? std::uint64_t(at) % w.count : random(w.count))] = 1;
            done_[i] = until;
        }
    }
    // The dirty log is read and emptied into `pending`.
    std::uint64_t sync(Pages &pending) {
        std::uint64_t added = 0;
        for (std::size_t page = 0; page < pending.size(); ++page) {
            added += dirty_[page] && pending[page] == 0;
            pending[page] |= dirty_[page];
            dirty_[page] = 0;
        }
        return added;
    }

  private:
    std::uint64_t random(std::uint64_t below) { // splitmix64
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return (z ^ (z >> 31)) % below;
    }

    const Workload &load_;
    const double slowdown_;
    std::uint64_t state_;
    Pages dirty_;
    std::vector<double> done_; // writes, by writer
};

// As QEMU 10.0 does it: addresses in order, 50 ms at a time; once what is left fits into the downtime limit, the dirty
// log is read, and if it still fits the guest stops.
inline Outcome stock_precopy(const Workload &load, const Setting &set) {
    PageGuest guest(load, set.slowdown, set.seed);
    Pages pending(load.pages, 1);
    std::uint64_t left = load.pages;
    const double limit = set.bandwidth * set.downtime_limit / kStreamPage;
    const double per_tick = set.bandwidth * kMillisecond / kStreamPage;
    Outcome out;
    std::size_t at = 0;
    double credit = 0;
    unsigned ticks = 0;
    while (double(left) > limit && ticks * kMillisecond < set.patience) {
        do {
            guest.tick(set.start + ticks * kMillisecond);
            for (credit += per_tick; credit >= 1 && left > 0; credit -= 1) {
                while (pending[at] == 0)
                    at = (at + 1) % load.pages;
                pending[at] = 0;
                --left;
                out.bytes += kStreamPage;
            }
            ++ticks;
        } while (ticks % 50 != 0);
        if (double(left) <= limit) {
            left += guest.sync(pending);
            ++out.syncs;
        }
    }
    out.converged = double(left) <= limit;
    out.downtime = double(left) * kStreamPage / set.bandwidth;
    out.bytes += double(left) * kStreamPage;
    out.seconds = ticks * kMillisecond + out.downtime;
    return out;
}

} // namespace tidemark::tests
