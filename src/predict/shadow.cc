// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/shadow.h"

#include <bit>

namespace tidemark {

Shadow::Shadow(std::uint32_t pages) {
    const std::uint32_t blocks = (pages + kBlock - 1) / kBlock;
    stride_ = (blocks + kCells - 1) / kCells | 1; // odd: not always the same place in a region
    cells_.resize(blocks / stride_ + 1);
}

Shadow::Cell *Shadow::cell_of(PageIndex page) {
    const std::uint32_t block = page.value / kBlock;
    return block % stride_ == 0 && block / stride_ < cells_.size() ? &cells_[block / stride_]
                                                                   : nullptr;
}

std::uint16_t Shadow::bit_of(PageIndex page) {
    return static_cast<std::uint16_t>(1u << (page.value % kBlock));
}

void Shadow::open(PageIndex page, double ready, double due) {
    Cell *cell = cell_of(page);
    if (cell == nullptr || (cell->open & bit_of(page)) != 0)
        return;
    if (cell->open == 0) {
        cell->ready = ready;
        cell->due = due;
    }
    cell->open |= bit_of(page);
    ++open_;
}

void Shadow::needed(PageIndex page, double now) {
    Cell *cell = cell_of(page);
    if (cell == nullptr || (cell->open & bit_of(page)) == 0)
        return;
    ++(now >= cell->ready ? tally_.used : tally_.late);
    cell->open &= static_cast<std::uint16_t>(~bit_of(page));
    --open_;
}

void Shadow::close(PageIndex page) {
    Cell *cell = cell_of(page);
    if (cell == nullptr || (cell->open & bit_of(page)) == 0)
        return;
    cell->open &= static_cast<std::uint16_t>(~bit_of(page));
    --open_;
}

void Shadow::sweep(double now) {
    for (Cell &cell : cells_)
        if (cell.open != 0 && now > cell.due) {
            const auto over = static_cast<std::uint32_t>(std::popcount(cell.open));
            tally_.wasted += over;
            open_ -= over;
            cell.open = 0;
        }
}

void Shadow::clear() {
    for (Cell &cell : cells_)
        cell.open = 0;
    open_ = 0;
}

Shadow::Tally Shadow::take() {
    const Tally taken = tally_;
    tally_ = {};
    return taken;
}

} // namespace tidemark
