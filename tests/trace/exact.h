// SPDX-License-Identifier: GPL-2.0-or-later
//
// Replacement as it would be by an observer who sees every access: what the engine's policies, which see faults
// only, are measured against. A refault is an access to a page that was in DRAM before and is not now; first
// touches are no refaults.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tidemark::trace {

using Pages = std::span<const std::uint32_t>; // page of each access, in order

// Least recently used, for all sizes of DRAM at once: an access hits in every DRAM that holds as many pages as
// were used since the page's last use (stack distances: Mattson et al., IBM Systems Journal 1970; counted with a
// tree over time: Bennett and Kruskal 1975).
class LruCurve {
  public:
    explicit LruCurve(Pages accesses);
    std::uint64_t refaults(std::uint32_t dram) const;

  private:
    std::vector<std::uint64_t> beyond_; // [n]: refaults with room for n pages
};

std::uint64_t fifo_refaults(Pages accesses, std::uint32_t dram);

// Least frequently used, with decay: an access weighs half after `half_life` more accesses (LRFU: Lee et al.,
// IEEE Transactions on Computers 2001). What is known of a page stays while it is away.
std::uint64_t lfu_refaults(Pages accesses, std::uint32_t dram, double half_life);

// The optimum for a DRAM of fixed size: the page leaves whose next use is farthest away (Belady, IBM Systems
// Journal 1966).
class Belady {
  public:
    explicit Belady(Pages accesses);
    std::uint64_t refaults(std::uint32_t dram) const;

  private:
    Pages accesses_;
    std::vector<std::uint32_t> next_; // per access: index of the page's next one
};

std::uint32_t footprint(Pages accesses);

// What there would be if the pages with the most accesses stayed in DRAM for good, all but one place for the others:
// no policy that goes by how often a page is used can know more.
std::uint64_t static_refaults(Pages accesses, std::uint32_t dram);

// The smallest DRAM, at most `most` and to within `grain` pages, with which refaults(dram) is at most `allowed`; most
// if none is. Takes a policy to be better the more DRAM it has.
template <typename Refaults>
std::uint32_t least_dram(std::uint32_t most, std::uint64_t allowed, Refaults &&refaults,
                         std::uint32_t grain = 1) {
    std::uint32_t low = 1, high = most;
    while (high - low >= grain && low < high) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (refaults(middle) <= allowed)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

} // namespace tidemark::trace
