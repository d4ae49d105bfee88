// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/write_phases.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tidemark {

namespace {

constexpr double kApart = 4;   // a busy phase writes so many times more than a quiet one
constexpr double kFewest = 16; // pages a second; less is no work
constexpr std::size_t kRepeats = 2, kCompared = 4;
constexpr double kAlike =
    1.5; // the longest of phases that are about equally long, over the shortest
constexpr std::size_t kBlip = 1; // bins; a phase that short is part of the one around it

struct Phase {
    bool busy = false;
    std::size_t bins = 0;
};

float quantile(std::vector<float> values, double share) {
    const auto at = values.begin() + std::ptrdiff_t(share * double(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

std::vector<Phase> phases_of(const std::vector<float> &bins, double threshold) {
    std::vector<Phase> phases;
    for (const float level : bins) {
        const bool busy = double(level) > threshold;
        if (phases.empty() || phases.back().busy != busy) {
            // Two blips in a row would be two changes: what was before goes on.
            if (phases.size() > 1 && phases.back().bins <= kBlip) {
                phases[phases.size() - 2].bins += phases.back().bins + 1;
                phases.pop_back();
                continue;
            }
            phases.push_back({busy, 0});
        }
        ++phases.back().bins;
    }
    return phases;
}

// The mean length of the last few that were completed; none if there are too few, or they differ.
std::optional<double> length(const std::vector<Phase> &phases, bool busy) {
    std::vector<double> lengths;
    for (std::size_t i = phases.size() - 1; i-- > 1;) // neither the first nor the present one
        if (phases[i].busy == busy && lengths.size() < kCompared)
            lengths.push_back(double(phases[i].bins));
    if (lengths.size() < kRepeats)
        return {};
    const auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
    if (*most > kAlike * *least + 2)
        return {};
    return std::accumulate(lengths.begin(), lengths.end(), 0.0) / double(lengths.size());
}

} // namespace

void WritePhases::see(double now, double level) {
    if (start_ < 0)
        start_ = now;
    const auto at = [&] { return std::size_t(std::max(0.0, now - start_) / bin_); };
    while (at() >= kMostBins)
        merge();
    if (at() > bins_.size()) { // the bin is over; looks may be further apart than bins
        const double mean = count_ != 0 ? sum_ / count_ : level;
        bins_.push_back(float(mean));
        bins_.resize(at(), float(level));
        sum_ = 0;
        count_ = 0;
    }
    sum_ += level;
    ++count_;
}

void WritePhases::merge() {
    for (std::size_t i = 0; i + 1 < bins_.size(); i += 2)
        bins_[i / 2] = (bins_[i] + bins_[i + 1]) / 2;
    bins_.resize(bins_.size() / 2);
    bin_ *= 2;
}

std::optional<WriteCycle> WritePhases::cycle(double now) const {
    if (bins_.size() < 8)
        return {};
    const double low = double(quantile(bins_, 0.05)), high = double(quantile(bins_, 0.95));
    if (high < kApart * low + kFewest)
        return {};
    const double threshold = std::sqrt((low + 1) * high);
    const std::vector<Phase> phases = phases_of(bins_, threshold);
    if (phases.size() < 2 * kRepeats + 1)
        return {};
    const auto busy = length(phases, true), quiet = length(phases, false);
    if (!busy || !quiet)
        return {};
    const Phase &present = phases.back();
    const double since = (now - start_) / bin_ - double(bins_.size());
    const double elapsed = double(present.bins) + std::max(0.0, since);
    if (elapsed > kAlike * (present.busy ? *busy : *quiet) + 2)
        return {};
    const double position =
        present.busy ? std::min(elapsed, *busy) : *busy + std::min(elapsed, *quiet);
    return WriteCycle{(*busy + *quiet) * bin_, *busy * bin_, position * bin_, low};
}

} // namespace tidemark
