// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest's recent past, for people to look at: where its memory was used, and how it fared. Bounded:
// kSamples samples of kBuckets bytes of heat each, under 20 KiB a guest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace tidemark::daemon {

struct BackendProfile;
struct BackendStats;

class GuestHistory {
  public:
    static constexpr std::size_t kBuckets = 64;
    static constexpr std::size_t kSamples = 120; // at one in 10 s: 20 minutes

    struct Sample {
        std::int64_t unix_ms = 0;
        // Pages seen used per bucket of the guest's memory, as 16 * log2(1 + pages), at most 255: what
        // a colour shows. All backends in order of their ids, each taking buckets by its share of
        // the memory.
        std::array<std::uint8_t, kBuckets> heat{};
        // Per second, since the sample before.
        float faults = 0, stored_faults = 0;
        std::uint64_t dram_used = 0, dram_limit = 0; // bytes
        std::uint32_t latency_p99_us = 0;
    };

    void add(std::int64_t unix_ms, const std::vector<BackendProfile> &profile,
             const std::vector<BackendStats> &stats);
    // Oldest first.
    const std::deque<Sample> &samples() const { return samples_; }

  private:
    std::deque<Sample> samples_;
    std::uint64_t faults_ = 0, stored_faults_ = 0;
};

} // namespace tidemark::daemon
