// SPDX-License-Identifier: GPL-2.0-or-later
//
// How good a predictor's word is: of the pages it named, which share was used, and in time. Old pages count for
// less and less.
#pragma once

#include <algorithm>
#include <cmath>

namespace tidemark {

class Score {
  public:
    // Of how many pages at most it keeps a memory.
    explicit Score(double memory) : memory_(memory) {}

    void add(double used, double not_used) {
        used_ += used;
        not_used_ += not_used;
        if (const double all = used_ + not_used_; all > memory_)
            fade(memory_ / all);
    }
    void fade(double keep) {
        used_ *= keep;
        not_used_ *= keep;
    }
    double pages() const { return used_ + not_used_; }
    double used() const { return used_; }
    // The share that is surely reached, if `open` more pages turn out unused: Wilson's lower bound at 95 %
    // (Wilson 1927). Pages come in company, so kTogether of them count as one trial.
    double surely(double open) const { return std::max(0.0, bound(open, -1)); }
    // The share that is surely not passed: the upper bound.
    double at_most() const { return pages() > 0 ? std::min(1.0, bound(0, 1)) : 1; }

  private:
    double bound(double open, double side) const {
        const double n = (pages() + open) / kTogether;
        if (n <= 0)
            return 0;
        const double p = used_ / (pages() + open), z = 1.645;
        const double root = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
        return (p + z * z / (2 * n) + side * root) / (1 + z * z / n);
    }

    static constexpr double kTogether = 16;
    double memory_, used_ = 0, not_used_ = 0;
};

} // namespace tidemark
