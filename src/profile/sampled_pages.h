// SPDX-License-Identifier: GPL-2.0-or-later
//
// One page of every Group consecutive ones, chosen by hash of the group's number: what is kept for the chosen
// pages only costs a Group'th, and stands for all. A page is always chosen or never, so its uses can be put
// together over time. (Spatial sampling by hash: SHARDS, Waldspurger et al., FAST 2015. One page a group, and not every
// page whose hash is small, because then the table has a fixed size, needs no keys, and a run of pages is
// counted almost exactly.)
//
// Error: of n pages each alone in its group, Group times the number of chosen ones is n on average, with a standard
// deviation of at most sqrt((Group - 1) n); of runs only their ends are uncertain.
#pragma once

#include "base/units.h"

#include <algorithm>
#include <cstdint>

namespace tidemark {

template <std::uint32_t Group> class SampledPages {
  public:
    explicit SampledPages(std::uint32_t pages) : pages_(pages) {}

    std::uint32_t groups() const { return (pages_ + Group - 1) / Group; }
    // Pages that the chosen one of group g stands for: the last group may be shorter.
    std::uint32_t stands_for(std::uint32_t g) const { return std::min(Group, pages_ - g * Group); }
    PageIndex chosen(std::uint32_t g) const {
        return PageIndex{g * Group + static_cast<std::uint32_t>(mixed(g) % stands_for(g))};
    }
    // act(g) for each group whose chosen page lies in the run, which lies in the block.
    template <typename Act> void each(PageRun run, Act act) const {
        if (run.count == 0)
            return;
        const std::uint32_t last = (run.end().value - 1) / Group;
        for (std::uint32_t g = run.first.value / Group; g <= last; ++g)
            if (const PageIndex page = chosen(g); page >= run.first && page < run.end())
                act(g);
    }

  private:
    // The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    static std::uint64_t mixed(std::uint64_t x) {
        x += 0x9e3779b97f4a7c15U;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
        return x ^ (x >> 31);
    }
    const std::uint32_t pages_;
};

} // namespace tidemark
