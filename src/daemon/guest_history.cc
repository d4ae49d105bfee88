// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_history.h"

#include "daemon/guest_stats.h"

#include <algorithm>
#include <cmath>

namespace tidemark::daemon {

namespace {

// One backend's cells, spread over the buckets of the bytes they stand for.
void spread(const BackendProfile &profile, std::uint64_t begin, std::uint64_t size,
            std::uint64_t memory, std::array<double, GuestHistory::kBuckets> &pages) {
    const double bucket_bytes =
        static_cast<double>(memory) / static_cast<double>(GuestHistory::kBuckets);
    for (std::size_t cell = 0; cell < profile.heat.size(); ++cell) {
        const double used = profile.heat[cell];
        const std::uint64_t offset = static_cast<std::uint64_t>(cell) * profile.heat_cell_bytes;
        if (!(used > 0) || offset >= size)
            continue;
        const double from = static_cast<double>(begin + offset);
        const double to =
            static_cast<double>(begin + std::min(size, offset + profile.heat_cell_bytes));
        const auto last = std::min(GuestHistory::kBuckets - 1,
                                   static_cast<std::size_t>(std::max(from, to - 1) / bucket_bytes));
        for (auto b = static_cast<std::size_t>(from / bucket_bytes); b <= last; ++b) {
            const double low = std::max(from, static_cast<double>(b) * bucket_bytes);
            const double high = std::min(to, static_cast<double>(b + 1) * bucket_bytes);
            if (high > low && to > from)
                pages[b] += used * (high - low) / (to - from);
        }
    }
}

float rate(std::uint64_t now, std::uint64_t before, std::int64_t ms) {
    // A count that fell is another QEMU's.
    return now < before || ms <= 0 ? 0.0F
                                   : static_cast<float>(static_cast<double>(now - before) * 1000.0 /
                                                        static_cast<double>(ms));
}

} // namespace

void GuestHistory::add(std::int64_t unix_ms, const std::vector<BackendProfile> &profile,
                       const std::vector<BackendStats> &stats) {
    Sample sample;
    sample.unix_ms = unix_ms;
    std::vector<const BackendStats *> backends;
    std::uint64_t memory = 0, faults = 0, stored = 0;
    for (const BackendStats &backend : stats) {
        backends.push_back(&backend);
        memory += backend.size;
        faults += backend.counters.faults;
        stored += backend.counters.stored;
        sample.dram_used += backend.dram_used;
        sample.dram_limit += backend.dram_limit;
        sample.latency_p99_us =
            std::max(sample.latency_p99_us, static_cast<std::uint32_t>(std::min<std::uint64_t>(
                                                backend.latency_p99_ns / 1000, UINT32_MAX)));
    }
    std::sort(backends.begin(), backends.end(),
              [](const BackendStats *a, const BackendStats *b) { return a->id < b->id; });
    std::array<double, kBuckets> pages{};
    std::uint64_t begin = 0;
    for (const BackendStats *backend : backends) {
        const auto of = std::find_if(profile.begin(), profile.end(),
                                     [&](const BackendProfile &p) { return p.id == backend->id; });
        if (of != profile.end())
            spread(*of, begin, backend->size, memory, pages);
        begin += backend->size;
    }
    for (std::size_t b = 0; b < kBuckets; ++b)
        sample.heat[b] =
            static_cast<std::uint8_t>(std::min(255.0, 16.0 * std::log2(1.0 + pages[b])));
    if (!samples_.empty()) {
        const std::int64_t passed = unix_ms - samples_.back().unix_ms;
        sample.faults = rate(faults, faults_, passed);
        sample.stored_faults = rate(stored, stored_faults_, passed);
    }
    faults_ = faults;
    stored_faults_ = stored;
    samples_.push_back(sample);
    if (samples_.size() > kSamples)
        samples_.pop_front();
}

} // namespace tidemark::daemon
