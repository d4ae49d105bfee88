// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/refaults.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace tidemark {

namespace {

std::size_t bucket_of(double distance) {
    const double quarters = std::floor(4 * std::log2(std::max(1.0, distance)));
    return std::min(static_cast<std::size_t>(quarters), Refaults::kBuckets - 2);
}

double lower(std::size_t bucket) {
    return std::exp2(static_cast<double>(bucket) / 4);
}

} // namespace

Refaults::Refaults(std::uint32_t pages)
    : sample_(pages), spell_pages_(std::max(kGroup, pages / 256)),
      left_in_(sample_.groups(), kInDram), out_(kSpells) {}

void Refaults::add_out(std::uint32_t g) {
    left_in_[g] = spell_;
    ++out_[spell_ % kSpells];
}

void Refaults::remove_out(std::uint32_t g) {
    --(spell_ - left_in_[g] < kSpells ? out_[left_in_[g] % kSpells] : out_earlier_);
    left_in_[g] = kInDram;
}

void Refaults::next_spell() {
    ++spell_;
    out_earlier_ += std::exchange(out_[spell_ % kSpells], 0U);
    if (spell_ < kRenumber)
        return;
    const std::uint32_t gone = kRenumber - 2 * kSpells; // a multiple of kSpells
    for (std::uint32_t &spell : left_in_)
        if (spell != kInDram)
            spell = spell > gone ? spell - gone : 1;
    spell_ -= gone;
}

void Refaults::left(PageRun run, bool used) {
    for (left_in_spell_ += run.count; left_in_spell_ >= spell_pages_;
         left_in_spell_ -= spell_pages_)
        next_spell();
    sample_.each(run, [&](std::uint32_t g) {
        if (left_in_[g] != kInDram && !used)
            return;
        if (left_in_[g] != kInDram)
            remove_out(g);
        add_out(g);
    });
}

// Half of those that left in the same spell are taken to have left later.
double Refaults::distance(std::uint32_t g) const {
    double later = 0;
    const std::uint32_t ago = spell_ - left_in_[g];
    for (std::uint32_t s = 0; s < std::min(ago, kSpells); ++s)
        later += out_[(spell_ - s) % kSpells];
    later += (ago < kSpells ? out_[left_in_[g] % kSpells] : out_earlier_) / 2.0;
    return later * kGroup;
}

void Refaults::count_refault(std::uint32_t g, Kind kind) {
    std::size_t bucket = kBuckets - 1;
    if (left_in_[g] != kInDram) {
        bucket = bucket_of(distance(g));
        remove_out(g);
    }
    histograms_[static_cast<std::size_t>(kind)][bucket] += sample_.stands_for(g) * life_.weight();
}

void Refaults::refault(PageRun run, Kind kind) {
    sample_.each(run, [&](std::uint32_t g) { count_refault(g, kind); });
}

void Refaults::touched(PageRun run) {
    sample_.each(run, [&](std::uint32_t g) {
        if (left_in_[g] != kInDram)
            count_refault(g, Kind::unwaited);
    });
}

void Refaults::tick(double now) {
    if (const double factor = life_.advance(now); factor != 1)
        for (Histogram &histogram : histograms_)
            for (double &count : histogram)
                count *= factor;
}

double Refaults::count(Kind kind) const {
    const Histogram &histogram = histograms_[static_cast<std::size_t>(kind)];
    return life_.of(std::accumulate(histogram.begin(), histogram.end(), 0.0));
}

double Refaults::per_second(Kind kind) const {
    const Histogram &histogram = histograms_[static_cast<std::size_t>(kind)];
    return life_.per_second(std::accumulate(histogram.begin(), histogram.end(), 0.0));
}

double Refaults::saved(Kind kind, std::uint64_t more_pages) const {
    const Histogram &histogram = histograms_[static_cast<std::size_t>(kind)];
    const auto more = static_cast<double>(more_pages);
    double sum = 0;
    for (std::size_t b = 0; b + 1 < kBuckets && lower(b) <= more; ++b) {
        const double width = lower(b + 1) - lower(b);
        sum += histogram[b] * std::min(1.0, (more - lower(b)) / width);
    }
    const double total = std::accumulate(histogram.begin(), histogram.end(), 0.0);
    return total > 0 ? sum / total : 0;
}

double Refaults::quantile(double share) const {
    const auto of = [this](std::size_t b) { return histograms_[0][b] + histograms_[1][b]; };
    double total = 0;
    for (std::size_t b = 0; b + 1 < kBuckets; ++b)
        total += of(b);
    if (total <= 0)
        return 0;
    double sum = 0;
    for (std::size_t b = 0; b + 1 < kBuckets; ++b) {
        if (of(b) > 0 && sum + of(b) >= share * total)
            return lower(b) + (lower(b + 1) - lower(b)) * (share * total - sum) / of(b);
        sum += of(b);
    }
    return lower(kBuckets - 1);
}

} // namespace tidemark
