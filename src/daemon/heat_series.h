// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which parts of a guest's memory were used when, and how much of each: one sample a poll, a byte and two bits for each
// cell of heat. Bounded: kSamples samples of kSeriesCells cells, 90 KiB a series; the oldest go first.
//
// Heat decays with a half-life (60 s in the profiler); what is above that since the last poll is use. A
// cell counts as active if that is worth kActivePages pages, or one page in a hundred of a larger cell.
#pragma once

#include <bitset>
#include <cstdint>
#include <deque>
#include <vector>

namespace tidemark::daemon {

inline constexpr std::size_t kSeriesCells = 256;
using CellSet = std::bitset<kSeriesCells>;

class HeatSeries {
  public:
    static constexpr std::size_t kSamples = 256;
    static constexpr double kHalfLife = 60; // seconds
    static constexpr double kActivePages = 4;
    // Cells that rest for that long and are used again are newly active.
    static constexpr double kRest = 30; // seconds

    struct Sample {
        double at = 0; // seconds, on the caller's clock
        CellSet active;
        CellSet newly; // active now, and not in the kRest seconds before
        // Share of its pages that each cell's use was worth, in 255ths. A page that was seen used twice counts twice.
        std::vector<std::uint8_t> used;
        double share_used(std::size_t cell) const { return used[cell] / 255.0; }
    };

    // heat: pages seen used per cell. Cells beyond kSeriesCells are put together, so many to one. A time not after the
    // last one is passed over; another number or size of cells begins a new series.
    void add(double at, std::uint64_t cell_bytes, const std::vector<float> &heat);

    const std::deque<Sample> &samples() const { return samples_; } // oldest first
    std::uint64_t cell_bytes() const { return cell_bytes_; }       // of a cell of the series
    std::size_t cells() const { return heat_.size(); }

  private:
    std::deque<Sample> samples_;
    std::vector<double> heat_;
    std::uint64_t cell_bytes_ = 0;
    std::uint64_t told_cell_bytes_ = 0;
    std::size_t told_cells_ = 0;
};

} // namespace tidemark::daemon
