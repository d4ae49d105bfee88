// SPDX-License-Identifier: GPL-2.0-or-later
//
// What would have come of a predictor's word if it had been given bandwidth: for pages that it named, that are out
// of DRAM, and that nobody orders. A later access settles each: in time, late, or, once its time is over, wasted.
//
// Every stride-th block of 64 KiB is watched, at most kCells of them: 100 KiB.
#pragma once

#include "base/units.h"

#include <cstdint>
#include <vector>

namespace tidemark {

class Shadow {
  public:
    struct Tally {
        std::uint64_t used = 0, late = 0, wasted = 0;
    };

    explicit Shadow(std::uint32_t pages);

    // The page was named; it could be there at `ready`, and is of no use after `due`. What is open already stays.
    void open(PageIndex page, double ready, double due);
    // The guest waited for it.
    void needed(PageIndex page, double now);
    // It came into DRAM in some other way: nothing can be said.
    void close(PageIndex page);
    void sweep(double now);
    void clear();

    Tally take();
    std::uint64_t open_pages() const { return open_; }
    std::uint32_t stride() const { return stride_; }
    std::size_t bytes() const { return cells_.capacity() * sizeof(Cell); }

  private:
    static constexpr std::uint32_t kCells = 4096, kBlock = 16;
    struct Cell {
        double ready = 0, due = 0;
        std::uint16_t open = 0;
    };
    // Null: not watched.
    Cell *cell_of(PageIndex page);
    static std::uint16_t bit_of(PageIndex page);

    std::uint32_t stride_;
    std::vector<Cell> cells_;
    std::uint64_t open_ = 0;
    Tally tally_;
};

} // namespace tidemark
