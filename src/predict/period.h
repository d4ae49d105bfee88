// SPDX-License-Identifier: GPL-2.0-or-later
//
// After how many steps what a guest does comes again. The levels of all regions are added up in a few ways, each
// with random signs, so that the sums stand for the whole picture, and not for its total alone (random projection:
// Johnson and Lindenstrauss 1984). Where the sums match those of `lag` steps ago for a second time, after they did
// not in between, that lag is the period.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

class Period {
  public:
    static constexpr std::size_t kLongest = 240; // steps

    Period();
    void see(std::span<const float> levels);      // of a step, 0 to 1 each
    std::size_t steps() const { return period_; } // 0: none
    std::size_t bytes() const;

  private:
    static constexpr std::size_t kSums = 8, kRing = 256;
    using Sums = std::array<float, kSums>;
    std::size_t find() const;

    std::vector<Sums> ring_; // without their mean
    std::vector<float> energies_;
    std::vector<float> match_, best_; // by lag: how well it matched, and how well it could have
    Sums mean_{};
    std::size_t seen_ = 0, period_ = 0;
};

} // namespace tidemark
