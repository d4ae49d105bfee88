// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_prefetch.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tidemark::daemon {
namespace {

using Confidence = std::array<double, kSeriesCells>;

double share_of(const CellSet &request, const CellSet &seen) {
    return static_cast<double>((request & seen).count()) / static_cast<double>(request.count());
}

struct Moment {
    double at = 0, agreement = 0;
    CellSet followed;
    std::array<double, kSeriesCells> used{}; // share of the pages of each, in the window
};

// The last times at which the peer began to use what is requested. What it used with one poll the guest may
// have used with two, so a moment takes in the sample after it.
std::vector<Moment> moments_of(const HeatSeries &peer, const CellSet &request, double window) {
    std::vector<Moment> found;
    const auto &samples = peer.samples();
    for (std::size_t i = samples.size(); i-- > 0 && found.size() < AffinityPrefetch::kMoments;) {
        CellSet begun = samples[i].newly;
        if ((begun & request).none()) {
            continue;
        }
        if (i + 1 < samples.size()) {
            begun |= samples[i + 1].newly;
        }
        const double agreement = share_of(request, begun);
        if (agreement < 0.5) {
            continue;
        }
        Moment moment{samples[i].at, agreement, {}, {}};
        for (std::size_t j = i + 1; j < samples.size() && samples[j].at <= samples[i].at + window;
             ++j) {
            moment.followed |= samples[j].newly;
            for (std::size_t cell = 0; cell < peer.cells(); ++cell) {
                moment.used[cell] = std::min(1.0, moment.used[cell] + samples[j].share_used(cell));
            }
        }
        found.push_back(moment);
    }
    return found;
}

void foretell(const AffinityPeer &peer, const CellSet &request, double now, double window,
              Confidence &confidence) {
    const auto moments = moments_of(*peer.series, request, window);
    double agreement = 0;
    for (const Moment &moment : moments) {
        agreement = std::max(agreement, moment.agreement);
    }
    for (std::size_t cell = 0; cell < peer.series->cells(); ++cell) {
        double latest = -1, count = 0, used = 0;
        for (const Moment &moment : moments) {
            if (moment.followed[cell]) {
                latest = std::max(latest, moment.at);
                count += 1;
                used += moment.used[cell];
            }
        }
        if (count == 0) {
            continue;
        }
        const double fresh = std::exp2(-std::max(now - latest, 0.0) / AffinityPrefetch::kFreshFor);
        const double follows = (count + 0.5) / (static_cast<double>(moments.size()) + 1);
        const double density = used / count;
        confidence[cell] =
            std::max(confidence[cell], peer.score * fresh * agreement * follows * density);
    }
}

void append(AffinityOrder &order, std::size_t cell, double confidence) {
    order.confidence = order.cells.empty() ? confidence : std::min(order.confidence, confidence);
    if (!order.cells.empty() && order.cells.back().first + order.cells.back().count == cell) {
        ++order.cells.back().count;
    } else {
        order.cells.push_back({cell, 1});
    }
}

} // namespace

void AffinityPrefetch::judge(const HeatSeries &own) {
    const HeatSeries::Sample &last = own.samples().back();
    for (std::size_t cell = 0; cell < kSeriesCells; ++cell) {
        if (!ordered_[cell] || (!last.active[cell] && last.at < until_[cell])) {
            continue;
        }
        (last.active[cell] ? right_ : wrong_) += 1;
        ordered_[cell] = false;
        if (right_ + wrong_ > kJudgements) {
            right_ *= 0.5;
            wrong_ *= 0.5;
        }
    }
}

std::vector<AffinityOrder> AffinityPrefetch::after_sample(const HeatSeries &own,
                                                          std::span<const AffinityPeer> peers,
                                                          const AffinityOptions &options) {
    if (own.samples().empty()) {
        return {};
    }
    judge(own);
    const HeatSeries::Sample &last = own.samples().back();
    if (last.newly.none()) {
        return {};
    }
    std::vector<AffinityPeer> best;
    for (const AffinityPeer &peer : peers) {
        if (peer.score >= options.similar && peer.series->cell_bytes() == own.cell_bytes() &&
            peer.series != &own) {
            best.push_back(peer);
        }
    }
    std::stable_sort(best.begin(), best.end(),
                     [](const auto &a, const auto &b) { return a.score > b.score; });
    best.resize(std::min(best.size(), kMostPeers));
    Confidence confidence{};
    for (const AffinityPeer &peer : best) {
        foretell(peer, last.newly, last.at, options.window, confidence);
    }

    std::uint64_t bytes = 0;
    AffinityOrder dram{true, 0, {}}, nvme{false, 0, {}};
    for (std::size_t cell = 0; cell < own.cells(); ++cell) {
        const double sure = confidence[cell] * precision();
        if (sure < options.to_nvme || last.active[cell] || ordered_[cell] ||
            bytes + own.cell_bytes() > options.most_bytes) {
            continue;
        }
        append(sure >= options.to_dram ? dram : nvme, cell, sure);
        bytes += own.cell_bytes();
        ordered_[cell] = true;
        until_[cell] = last.at + options.window;
    }
    std::vector<AffinityOrder> orders;
    for (AffinityOrder &order : {std::ref(dram), std::ref(nvme)}) {
        if (!order.cells.empty()) {
            orders.push_back(std::move(order));
        }
    }
    return orders;
}

} // namespace tidemark::daemon
