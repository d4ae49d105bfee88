// SPDX-License-Identifier: GPL-2.0-or-later
#include "contestants.h"

#include "base/check.h"
#include "exact.h"
#include "predict/network.h"
#include "predict/phases.h"

#include <memory>
#include <utility>

namespace tidemark::trace {

namespace {

// Half-life of the exact LFU, in accesses per page of DRAM.
constexpr double kHalfLife = 16;
constexpr std::uint32_t kHorizon = 10; // of the network, seconds

struct PageOrder {
    explicit PageOrder(const PageTrace &trace) {
        for (const TraceAccess access : trace.accesses)
            pages.push_back(access.page);
        footprint = tidemark::trace::footprint(pages);
    }
    ModelCounts counts(std::uint64_t refaults) const {
        ModelCounts counts;
        counts.accesses = pages.size();
        counts.first_touches = footprint;
        counts.refaults = refaults;
        return counts;
    }
    std::vector<std::uint32_t> pages;
    std::uint32_t footprint = 0;
};

void add_exact(std::vector<Contestant> &out, const PageTrace &trace) {
    const auto order = std::make_shared<PageOrder>(trace);
    const auto belady = std::make_shared<Belady>(order->pages);
    const auto lru = std::make_shared<LruCurve>(order->pages);
    out.push_back({"Belady", Sort::optimum,
                   [=](std::uint32_t dram) { return order->counts(belady->refaults(dram)); }});
    out.push_back({"best fixed set", Sort::exact, [=](std::uint32_t dram) {
                       return order->counts(static_refaults(order->pages, dram));
                   }});
    out.push_back({"exact LRU", Sort::exact,
                   [=](std::uint32_t dram) { return order->counts(lru->refaults(dram)); }});
    out.push_back({"exact LFU", Sort::exact, [=](std::uint32_t dram) {
                       return order->counts(lfu_refaults(order->pages, dram, kHalfLife * dram));
                   }});
    out.push_back({"exact FIFO", Sort::exact, [=](std::uint32_t dram) {
                       return order->counts(fifo_refaults(order->pages, dram));
                   }});
}

} // namespace

std::vector<NamedPredictor> predictors() {
    NamedPredictor phases, network;
    phases.name = "phases";
    phases.make = [](std::uint32_t pages, std::uint32_t dram) {
        auto owner = std::make_unique<Phases>(pages);
        owner->set_room(dram);
        Predictor *const predictor = owner.get();
        return Forecast{std::move(owner), {predictor, {}}};
    };
    network.name = "network";
    network.make = [](std::uint32_t pages, std::uint32_t) {
        auto owner = Network::make(pages, kHorizon);
        TIDEMARK_CHECK(owner.has_value());
        Network *const predictor = owner->get();
        return Forecast{std::move(*owner), {predictor, [predictor](std::uint32_t free) {
                                                predictor->set_room(free);
                                            }}};
    };
    return {phases, network};
}

ModelCounts replay(const PageTrace &trace, const ModelOptions &options, double seconds_per_window) {
    EngineModel model(trace.pages, options);
    std::size_t at = 0;
    for (std::size_t window = 0; window < trace.window_ends.size(); ++window)
        for (; at < trace.window_ends[window]; ++at)
            model.access(trace.accesses[at].page, trace.accesses[at].write,
                         static_cast<double>(window) * seconds_per_window);
    return model.counts();
}

std::vector<Contestant> contestants(const PageTrace &trace, const Guest &guest) {
    std::vector<Contestant> all;
    add_exact(all, trace);
    ModelOptions options;
    options.staged_share = guest.staged_share;
    const double window = static_cast<double>(trace.window_instructions) / (guest.mips * 1e6);
    const auto add = [&](std::string name, Sort sort, const NamedPredictor *predictor) {
        const auto make = predictor != nullptr ? predictor->make : nullptr;
        all.push_back({std::move(name), sort, [&trace, options, window, make](std::uint32_t dram) {
                           ModelOptions with = options;
                           with.dram = dram;
                           const Forecast own = make ? make(trace.pages, dram) : Forecast{};
                           if (own.owner)
                               with.predictors = {own.partner};
                           return replay(trace, with, window);
                       }});
    };
    for (const auto &[kind, name] :
         {std::pair{PolicyKind::lru, "engine lru"}, std::pair{PolicyKind::lfu, "engine lfu"},
          std::pair{PolicyKind::fifo, "engine fifo"}}) {
        options.policy = kind;
        add(name, Sort::engine, nullptr);
    }
    for (const auto &[kind, name] :
         {std::pair{PolicyKind::lru, "lru"}, std::pair{PolicyKind::lfu, "lfu"}})
        for (const unsigned ahead : {1u, 2u, 3u}) {
            options.policy = kind;
            options.streams = (ahead & 1) != 0;
            options.successors = (ahead & 2) != 0;
            add(std::string(name) + (options.streams ? " +streams" : "") +
                    (options.successors ? " +successors" : ""),
                Sort::ahead, nullptr);
        }
    options.policy = PolicyKind::lru;
    for (const NamedPredictor &predictor : predictors())
        add("lru +both +" + predictor.name, Sort::ahead, &predictor);
    return all;
}

} // namespace tidemark::trace
