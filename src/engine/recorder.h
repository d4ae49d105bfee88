// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which pages came into DRAM since a moment, in the order in which they first did. One bit a page, and what the
// runs need. (What is there at that moment is put on probation and comes back when it is used: reclaim.h.)
#pragma once

#include "base/units.h"

#include <vector>

namespace tidemark {

class Recorder {
  public:
    explicit Recorder(std::uint32_t pages) : seen_(pages) {}

    void note(PageIndex page) {
        if (seen_[page.value])
            return;
        seen_[page.value] = true;
        if (!runs_.empty() && runs_.back().end() == page)
            ++runs_.back().count;
        else
            runs_.push_back({page, 1});
    }
    bool seen(PageIndex page) const { return seen_[page.value]; }
    std::vector<PageRun> take() { return std::move(runs_); }
    std::uint64_t bytes() const { return seen_.size() / 8 + runs_.capacity() * sizeof(PageRun); }

  private:
    std::vector<bool> seen_;
    std::vector<PageRun> runs_;
};

} // namespace tidemark
