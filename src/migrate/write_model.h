// SPDX-License-Identifier: GPL-2.0-or-later
//
// How a guest writes, as far as a forecast needs it: classes of pages that are written alike. Times are seconds.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tidemark {

// Pages that are written alike.
struct WriteClass {
    double pages = 0;
    // Of these, how many have to be sent: all before a migration, or what is dirty during one.
    double pending = 0;
    // Writes of one of its pages, per second of the time in which the class is busy; 0: it never is.
    double rate = 0;
    // They come at even intervals, as a sweep's do. Else at random.
    bool regular = false;
    // Busy for `busy` seconds at the start of each `cycle`; it is `position` seconds into one now. No cycle: always.
    double cycle = 0, busy = 0, position = 0;
    // The share of the writes that leaves the same bytes behind.
    double unchanged = 0;
    // Of `rate`: standard deviation over value.
    double doubt = 0.05;

    // Of the seconds from `from` to `to`, counted from now, in how many it's busy.
    double busy_between(double from, double to) const {
        if (cycle <= 0)
            return to - from;
        const auto until = [&](double time) {
            const double whole = std::floor(time / cycle);
            return whole * busy + std::min(time - whole * cycle, busy);
        };
        return until(to + position) - until(from + position);
    }
    // Seconds until it next falls quiet; 0: it is quiet now.
    double quiet_in() const {
        if (rate <= 0)
            return 0;
        if (cycle <= 0 || busy >= cycle)
            return std::numeric_limits<double>::infinity();
        return std::max(0.0, busy - std::fmod(position, cycle));
    }
};

struct WriteModel {
    std::vector<WriteClass> classes;
    double zero_pages = 0; // of those pending: a few bytes each in the stream
    double watched = 0;    // seconds that this was learnt from
    unsigned looks = 0;    // at the dirty log, in that time
    bool late =
        false; // the last of them came much later than wanted: it found more than pages written often

    double pages() const {
        double sum = 0;
        for (const WriteClass &c : classes)
            sum += c.pages;
        return sum;
    }
    double pending() const {
        double sum = 0;
        for (const WriteClass &c : classes)
            sum += c.pending;
        return sum;
    }
};

} // namespace tidemark
