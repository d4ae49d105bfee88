// SPDX-License-Identifier: GPL-2.0-or-later
//
// The accesses that nobody has learnt from yet. Bounded: what comes when it is full is counted and lost.
#pragma once

#include "engine/access.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace tidemark {

class AccessLog {
  public:
    // late: there were accesses before that nobody logged, so the first to look learns of one lost at least.
    explicit AccessLog(std::uint32_t pages, bool late = false)
        : most_(std::clamp<std::size_t>(pages / 64, 1024, 65536)), lost_(late ? 1 : 0) {}

    void note(const Access &access) {
        if (!entries_.empty() && entries_.back().count < kRegionPages &&
            continues(entries_.back(), access))
            entries_.back().count += access.count;
        else if (entries_.size() < most_)
            entries_.push_back(access);
        else
            ++lost_;
    }
    bool half_full() const { return entries_.size() >= most_ / 2; }
    // Swaps, so that the memory of both is used again. Returns how many were lost since the last time.
    std::uint64_t take(std::vector<Access> &out) {
        out.clear();
        entries_.swap(out);
        return std::exchange(lost_, 0);
    }
    std::uint64_t bytes() const { return entries_.capacity() * sizeof(Access); }

  private:
    static bool continues(const Access &last, const Access &next) {
        return last.first.next(last.count) == next.first && last.kind == next.kind &&
               last.origin == next.origin && last.write == next.write && next.ms - last.ms < 50;
    }
    std::size_t most_;
    std::vector<Access> entries_;
    std::uint64_t lost_;
};

} // namespace tidemark
