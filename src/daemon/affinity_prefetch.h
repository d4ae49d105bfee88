// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a guest will need next, foretold from what similar guests of its group did.
//
// A request is the set of cells (heat_series.h) that a guest began to use with its last poll. For it:
//  1. peers: guests of its group with a similarity of at least `similar`;
//  2. moments: when a peer began to use at least half of the same cells, the last kMoments such times;
//  3. followers: the cells that the peer began to use in the window after each moment;
//  4. the confidence in a cell: the highest over peers of
//
//         score * freshness * agreement * follows * density * precision
//
//     freshness   2^(-age / kFreshFor) of the peer's latest moment that the cell followed
//     agreement   share of the request that the peer's best moment has, too
//     follows     (moments that the cell followed + 0.5) / (moments + 1)
//     density     share of the cell's pages that the peer used in the window, the mean of the moments that it followed
//     precision   (right + 4) / (right + wrong + 5): how orders for this guest have fared
//
//     So it is the share of the cell's pages that will be used, as far as that is known: a cell of which a peer used
//     one page in a hundred is not ordered as a whole, however surely that page comes.
//  5. at least `to_dram`: the cell is ordered to DRAM; at least `to_nvme`: from QLC to NVMe; else not at all.
//
// What is ordered is judged when the window is over: right if the guest used it. A guest whose orders are
// mostly wrong falls below the thresholds by itself and is tried again as its judgements fade.
// Bounded: kMostOrdered cells under way, and a few numbers a guest.
#pragma once

#include "daemon/heat_series.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tidemark::daemon {

struct AffinityPeer {
    const HeatSeries *series = nullptr;
    double score = 0; // similarity to the guest
};

struct AffinityOptions {
    double similar = 0.6;
    double to_dram = 0.6;
    double to_nvme = 0.3;
    double window = 10;                    // seconds
    std::uint64_t most_bytes = UINT64_MAX; // in one go
};

struct CellRun {
    std::size_t first = 0, count = 0; // cells
};

struct AffinityOrder {
    bool to_dram = true;
    double confidence = 0; // share of the pages that will be used: the lowest of its cells
    std::vector<CellRun> cells;
};

// Of one guest.
class AffinityPrefetch {
  public:
    static constexpr std::size_t kMoments = 4;   // of a peer
    static constexpr double kFreshFor = 1800;    // seconds
    static constexpr std::size_t kMostPeers = 8; // the most similar ones
    static constexpr double kJudgements = 64;    // older ones fade

    // After each sample of the guest's own series; at most two orders, one to a tier.
    std::vector<AffinityOrder> after_sample(const HeatSeries &own,
                                            std::span<const AffinityPeer> peers,
                                            const AffinityOptions &options);

    double right() const { return right_; }
    double wrong() const { return wrong_; }
    double precision() const { return (right_ + 4) / (right_ + wrong_ + 5); }

  private:
    void judge(const HeatSeries &own);

    double right_ = 0, wrong_ = 0;
    CellSet ordered_;                          // and not judged yet
    std::array<double, kSeriesCells> until_{}; // when they are
};

} // namespace tidemark::daemon
