// SPDX-License-Identifier: GPL-2.0-or-later
//
// A latency histogram that many threads add to without a lock. The bounds grow by a fourth of a power of
// two, so a quantile is off by at most 19 %, over a range from 250 ns to a quarter of a second.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tidemark {

// Bucket b counts latencies in [2^(b/4), 2^((b+1)/4)) * 250 ns; the first also what is shorter, the last
// also what is longer.
class LatencyHistogram {
  public:
    static constexpr std::size_t kBuckets = 80;
    static constexpr std::uint64_t kUnitNs = 250;
    using Counts = std::array<std::uint64_t, kBuckets>;

    static std::size_t bucket_of(std::uint64_t ns) {
        if (ns < kUnitNs)
            return 0;
        // Four steps per octave: the octave from the highest bit, the step by comparing the mantissa, scaled
        // to 16 bits, with 2^(1/4), 2^(1/2) and 2^(3/4).
        const std::uint64_t scaled = ns >= kCeilingNs ? kCeilingNs - 1 : ns;
        const std::uint64_t units16 = (scaled << 16) / kUnitNs;
        const auto octave = static_cast<std::size_t>(std::bit_width(units16)) - 17;
        const std::uint64_t mantissa = units16 >> octave;
        std::size_t step = 0;
        for (const std::uint64_t bound : {77936U, 92682U, 110218U})
            step += mantissa >= bound ? 1 : 0;
        return octave * 4 + step;
    }

    // The lower bound of a bucket in ns.
    static double lower_ns(std::size_t bucket) {
        return std::exp2(static_cast<double>(bucket) / 4.0) * static_cast<double>(kUnitNs);
    }

    // Relaxed throughout: each count stands for itself, and a reader that misses the newest few is fine.
    void record(std::chrono::nanoseconds latency) {
        const std::uint64_t ns =
            latency.count() > 0 ? static_cast<std::uint64_t>(latency.count()) : 0;
        counts_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
    }

    Counts counts() const {
        Counts copy{};
        for (std::size_t b = 0; b < kBuckets; ++b)
            copy[b] = counts_[b].load(std::memory_order_relaxed);
        return copy;
    }

    // The upper bound, in ns, of the bucket that holds quantile q (0 < q <= 1); 0 if nothing was counted.
    static double quantile_ns(const Counts &counts, double q) {
        std::uint64_t total = 0;
        for (const std::uint64_t count : counts)
            total += count;
        if (total == 0)
            return 0;
        const double wanted = std::ceil(q * static_cast<double>(total));
        std::uint64_t seen = 0;
        for (std::size_t b = 0; b < kBuckets; ++b) {
            seen += counts[b];
            if (static_cast<double>(seen) >= wanted)
                return lower_ns(b + 1);
        }
        return lower_ns(kBuckets);
    }

  private:
    static constexpr std::uint64_t kCeilingNs = kUnitNs << (kBuckets / 4);

    std::array<std::atomic<std::uint64_t>, kBuckets> counts_{};
};

} // namespace tidemark
