// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pages in the order in which they came, neighbours joined: 8 bytes a run.
#pragma once

#include "base/units.h"

#include <deque>

namespace tidemark {

class PageQueue {
  public:
    bool empty() const { return runs_.empty(); }
    std::uint64_t size() const { return pages_; }
    PageIndex front() const { return runs_.front().first; }
    void pop_front() {
        PageRun &run = runs_.front();
        run = {run.first.next(), run.count - 1};
        --pages_;
        if (run.count == 0)
            runs_.pop_front();
    }
    void push_back(PageIndex page) {
        ++pages_;
        if (!runs_.empty() && runs_.back().end() == page)
            ++runs_.back().count;
        else
            runs_.push_back({page, 1});
    }
    std::uint64_t bytes() const { return runs_.size() * sizeof(PageRun); }

  private:
    std::deque<PageRun> runs_;
    std::uint64_t pages_ = 0;
};

} // namespace tidemark
