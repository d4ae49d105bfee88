// SPDX-License-Identifier: GPL-2.0-or-later
//
// A latency histogram fine enough to tell sides apart: buckets at most 1.6 % wide, from 1 ns to hours. Not
// shared: each thread fills its own, they are added up at the end.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidemark::perf {

class FineHistogram {
  public:
    FineHistogram() : counts_(kBuckets) {}

    void record(std::uint64_t ns) {
        ++counts_[bucket_of(ns)];
        sum_ns_ += ns;
        ++count_;
    }

    void add(const FineHistogram &other) {
        for (std::size_t b = 0; b < kBuckets; ++b)
            counts_[b] += other.counts_[b];
        sum_ns_ += other.sum_ns_;
        count_ += other.count_;
    }

    std::uint64_t count() const { return count_; }
    double mean_ns() const {
        return count_ == 0 ? 0 : static_cast<double>(sum_ns_) / static_cast<double>(count_);
    }

    // The middle of the bucket that holds quantile q (0 < q <= 1); 0 if nothing was counted.
    double quantile_ns(double q) const {
        const auto wanted = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
        std::uint64_t seen = 0;
        for (std::size_t b = 0; b < kBuckets; ++b) {
            seen += counts_[b];
            if (seen >= wanted && seen > 0)
                return (lower_ns(b) + lower_ns(b + 1)) / 2;
        }
        return 0;
    }

    // Values below 64 have a bucket each; above, each power of two is cut in 64 equal steps.
    static std::size_t bucket_of(std::uint64_t ns) {
        if (ns < kSteps)
            return static_cast<std::size_t>(ns);
        const auto octave = static_cast<std::size_t>(std::bit_width(ns)) - 1 - kStepBits;
        const std::size_t bucket = octave * kSteps + static_cast<std::size_t>(ns >> octave);
        return bucket < kBuckets ? bucket : kBuckets - 1;
    }
    static double lower_ns(std::size_t bucket) {
        if (bucket < kSteps)
            return static_cast<double>(bucket);
        const std::size_t octave = bucket / kSteps - 1;
        return std::ldexp(static_cast<double>(kSteps + bucket % kSteps), static_cast<int>(octave));
    }

  private:
    static constexpr std::size_t kStepBits = 6;
    static constexpr std::size_t kSteps = 1u << kStepBits;
    static constexpr std::size_t kBuckets = 40 * kSteps;

    std::vector<std::uint64_t> counts_;
    std::uint64_t sum_ns_ = 0;
    std::uint64_t count_ = 0;
};

} // namespace tidemark::perf
