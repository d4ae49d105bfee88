// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sums in which what happened a half-life ago counts half. Nothing is decayed as time goes by: what happens
// now is added with a weight that grows, and a sum is divided by the weight of the moment it is read. Only
// when the weight grows out of hand are all sums scaled back, once in kMost half-lives. (Forward decay:
// Cormode, Shkapenyuk, Srivastava and Xu, ICDE 2009.)
#pragma once

#include <cmath>
#include <numbers>

namespace tidemark {

class HalfLife {
  public:
    explicit HalfLife(double seconds) : seconds_(seconds) {}

    // Returns what every sum is to be multiplied by: 1, but for once in a long while. `now` never goes back.
    [[nodiscard]] double advance(double now) {
        now_ = now;
        const double lives = (now - base_) / seconds_;
        if (lives <= kMost) {
            weight_ = std::exp2(lives);
            return 1;
        }
        base_ = now;
        weight_ = 1;
        return std::exp2(-lives);
    }
    double weight() const { return weight_; }
    double of(double sum) const { return sum / weight_; }
    // The same as a rate. What a sum of 1 a second comes to by now is known, so it is right from the first
    // second on, not only after some half-lives.
    double per_second(double sum) const {
        const double mean = seconds_ / std::numbers::ln2;
        const double covered = mean * -std::expm1(-now_ / mean);
        return covered > 0 ? of(sum) / covered : 0;
    }

  private:
    static constexpr double kMost = 32; // 2^32 times any count is far from a float's end
    const double seconds_;
    double base_ = 0, now_ = 0, weight_ = 1;
};

} // namespace tidemark
