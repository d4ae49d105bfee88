// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/period.h"

#include <algorithm>

namespace tidemark {

namespace {

constexpr float kForget = 1.0f / 256; // a step, of old matches
constexpr float kDip =
    0.4f; // of the best match there can be: below this lag is no longer the same moment
constexpr float kMatch = 0.5f; // and above this it is the same again
constexpr std::size_t kShortest = 3;

// +1 or -1, by region and sum.
std::uint32_t signs_of(std::size_t region) {
    std::uint64_t mixed = (region + 1) * 0x9e3779b97f4a7c15;
    mixed ^= mixed >> 32;
    mixed *= 0xd6e8feb86659fd93;
    return static_cast<std::uint32_t>(mixed >> 32);
}

} // namespace

Period::Period() : ring_(kRing), energies_(kRing), match_(kLongest + 1), best_(kLongest + 1) {}

void Period::see(std::span<const float> levels) {
    Sums now{};
    for (std::size_t region = 0; region < levels.size(); ++region)
        if (levels[region] > 0) {
            const std::uint32_t signs = signs_of(region);
            for (std::size_t i = 0; i < kSums; ++i)
                now[i] += (signs >> i & 1) != 0 ? levels[region] : -levels[region];
        }
    const float newest = 1 / static_cast<float>(std::min<std::size_t>(seen_ + 1, kRing));
    float energy = 0;
    for (std::size_t i = 0; i < kSums; ++i) {
        mean_[i] += newest * (now[i] - mean_[i]);
        now[i] -= mean_[i];
        energy += now[i] * now[i];
    }
    ring_[seen_ % kRing] = now;
    energies_[seen_ % kRing] = energy;
    for (std::size_t lag = 1; lag <= std::min(kLongest, seen_); ++lag) {
        const Sums &then = ring_[(seen_ - lag) % kRing];
        float match = 0;
        for (std::size_t i = 0; i < kSums; ++i)
            match += now[i] * then[i];
        match_[lag] += match - kForget * match_[lag];
        best_[lag] += 0.5f * (energy + energies_[(seen_ - lag) % kRing]) - kForget * best_[lag];
    }
    ++seen_;
    period_ = find();
}

std::size_t Period::find() const {
    const auto at = [this](std::size_t lag) {
        return best_[lag] > 0 ? match_[lag] / best_[lag] : 0;
    };
    const std::size_t last = std::min(kLongest, seen_ / 2);
    std::size_t lag = 1;
    while (lag <= last && at(lag) > kDip)
        ++lag;
    float best = 0;
    for (std::size_t i = std::max(lag, kShortest); i <= last; ++i)
        best = std::max(best, at(i));
    if (best < kMatch)
        return 0;
    for (lag = std::max(lag, kShortest); lag <= last; ++lag)
        if (at(lag) >= 0.9f * best && at(lag) >= at(lag - 1) &&
            (lag == last || at(lag) >= at(lag + 1)))
            return lag;
    return 0;
}

std::size_t Period::bytes() const {
    return sizeof(*this) + ring_.capacity() * sizeof(Sums) +
           (energies_.capacity() + match_.capacity() + best_.capacity()) * sizeof(float);
}

} // namespace tidemark
