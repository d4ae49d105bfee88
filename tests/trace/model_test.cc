// SPDX-License-Identifier: GPL-2.0-or-later
//
// The model of the engine: what it keeps in DRAM, what it calls a refault, and how predictors join in.
#include "contestants.h"
#include "exact.h"
#include "synthetic.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <set>
#include <vector>

using namespace tidemark;
using namespace tidemark::trace;

namespace {

constexpr double kWindow = 0.01; // seconds

// Passes over pages 0, step, 2 step ... in windows of 16 accesses.
PageTrace passes(std::uint32_t pages, unsigned count, std::uint32_t step = 1) {
    PageTrace trace;
    trace.pages = pages * step;
    trace.window_instructions = 1000000;
    for (unsigned pass = 0; pass < count; ++pass)
        for (std::uint32_t i = 0; i < pages; ++i) {
            trace.accesses.push_back({i * step, false});
            if (trace.accesses.size() % 16 == 0)
                trace.window_ends.push_back(static_cast<std::uint32_t>(trace.accesses.size()));
        }
    trace.window_ends.push_back(static_cast<std::uint32_t>(trace.accesses.size()));
    return trace;
}

ModelOptions options(PolicyKind policy, std::uint32_t dram) {
    ModelOptions chosen;
    chosen.policy = policy;
    chosen.dram = dram;
    return chosen;
}

// Knows that the same pages are used again and again in order, and where it is.
class Clairvoyant final : public Predictor {
  public:
    explicit Clairvoyant(std::uint32_t pages) : pages_(pages) {}
    Origin origin() const override { return Origin::phases; }
    std::string_view name() const override { return "clairvoyant"; }
    void observe(const Window &window) override {
        CHECK(window.begin >= end_ - 1e-9); // windows follow each other
        end_ = window.begin + window.seconds;
        for (const Access &access : window.accesses)
            if (access.kind == AccessKind::stored || access.kind == AccessKind::first_touch)
                last_ = access.first.value;
        ++windows_;
    }
    void expect(std::vector<Expectation> &out) override {
        const std::uint32_t next = (last_ + 1) % pages_;
        out.push_back({{PageIndex{next}, std::min(64u, pages_ - next)}, 0.9F, end_ + 1});
        out.push_back({{PageIndex{0}, pages_}, 0.1F, end_ + 1}); // not worth it
    }
    std::size_t bytes() const override { return sizeof(*this); }
    int windows_ = 0;

  private:
    std::uint32_t pages_, last_ = 0;
    double end_ = 0;
};

} // namespace

TEST_CASE("what fits in DRAM is never waited for") {
    const auto policy = GENERATE(PolicyKind::lru, PolicyKind::lfu, PolicyKind::fifo);
    const ModelCounts counts = replay(passes(500, 4), options(policy, 560), kWindow);
    CHECK(counts.accesses == 2000);
    CHECK(counts.first_touches == 500);
    CHECK(counts.refaults == 0);
}

TEST_CASE("DRAM holds no more than it is given") {
    const auto policy = GENERATE(PolicyKind::lru, PolicyKind::lfu, PolicyKind::fifo);
    for (const std::uint32_t dram : {1u, 2u, 50u, 300u}) {
        ModelOptions chosen = options(policy, dram);
        chosen.streams = chosen.successors = true;
        EngineModel model(1000, chosen);
        for (std::uint32_t i = 0; i < 20000; ++i) {
            model.access((i * 7919 + i / 3) % 1000, false, 0);
            REQUIRE(model.in_dram() <= dram);
        }
        CHECK(model.counts().refaults > 0);
    }
}

TEST_CASE("passes over more than DRAM wait for each page, or with read-ahead for few") {
    const PageTrace trace = passes(2000, 5);
    ModelOptions chosen = options(PolicyKind::lru, 500);
    const ModelCounts alone = replay(trace, chosen, kWindow);
    CHECK(alone.refaults > 7000);
    CHECK(alone.unasked() == 0);
    chosen.streams = true;
    const ModelCounts ahead = replay(trace, chosen, kWindow);
    CHECK(ahead.refaults * 4 < alone.refaults);
    CHECK(ahead.used[static_cast<std::size_t>(Origin::streams)] > 5000);
    CHECK(ahead.unused() * 20 < ahead.unasked());
    CHECK(ahead.first_touches == 2000);
}

TEST_CASE("an order that comes again is foreseen by the successors") {
    PageTrace trace = passes(2000, 5);
    for (TraceAccess &access : trace.accesses)
        access.page = access.page * 777 % 2000; // a permutation, the same in each pass
    ModelOptions chosen = options(PolicyKind::lru, 500);
    const ModelCounts alone = replay(trace, chosen, kWindow);
    chosen.successors = true;
    CHECK(replay(trace, chosen, kWindow).refaults * 2 < alone.refaults);
}

TEST_CASE("probation tells LRU what is used: a hot set survives beside a walk") {
    PageTrace trace;
    trace.pages = 4000;
    trace.window_instructions = 1000000;
    for (std::uint32_t i = 0; i < 200000; ++i)
        trace.accesses.push_back({i % 4 != 0 ? i * 31 % 300 : 300 + i / 4 * 17 % 3700, false});
    trace.window_ends.push_back(static_cast<std::uint32_t>(trace.accesses.size()));
    const ModelCounts lru = replay(trace, options(PolicyKind::lru, 1000), kWindow);
    const ModelCounts fifo = replay(trace, options(PolicyKind::fifo, 1000), kWindow);
    CHECK(lru.staged > 0);
    CHECK(lru.refaults < fifo.refaults);
}

TEST_CASE("on zipf, faults and probation are enough for LRU to be near one that sees each access") {
    constexpr std::uint32_t kPages = 32768, kDram = 8192;
    const PageTrace trace = make_scan_mix({kPages, 0, 300000, 1, 1});
    std::vector<std::uint32_t> pages;
    for (const TraceAccess access : trace.accesses)
        pages.push_back(access.page);
    const auto exact = static_cast<double>(LruCurve(pages).refaults(kDram));
    const auto refaults = [&](const ModelCounts &counts) {
        return static_cast<double>(counts.refaults) / exact;
    };
    const ModelCounts lru = replay(trace, options(PolicyKind::lru, kDram), kWindow);
    const ModelCounts fifo = replay(trace, options(PolicyKind::fifo, kDram), kWindow);
    INFO(refaults(lru) << " " << refaults(fifo) << " " << lru.staged);
    CHECK(refaults(lru) < 1.22);
    CHECK(refaults(fifo) > 1.3);
    CHECK(lru.staged * 10 > lru.refaults);
}

TEST_CASE("any predictor can join, and is judged by what became of its pages") {
    const PageTrace trace = passes(2000, 5);
    ModelOptions chosen = options(PolicyKind::lru, 500);
    const ModelCounts alone = replay(trace, chosen, kWindow);
    Clairvoyant predictor(2000);
    int asked = 0;
    chosen.predictors = {{&predictor, [&](std::uint32_t) { ++asked; }}};
    chosen.window_seconds = kWindow;
    const ModelCounts with = replay(trace, chosen, kWindow);
    CHECK(predictor.windows_ > 100);
    CHECK(asked == predictor.windows_);
    CHECK(with.refaults * 2 < alone.refaults);
    const auto at = static_cast<std::size_t>(Origin::phases);
    CHECK(with.brought[at] > 0);
    CHECK(with.brought[at] == with.unasked());
    CHECK(with.used[at] + with.wasted[at] <= with.brought[at]);
    CHECK(with.used[at] > with.wasted[at]);
}

TEST_CASE("the scan mix has its scans") {
    const PageTrace trace = make_scan_mix({100, 50, 1000, 3, 1});
    CHECK(trace.accesses.size() == 3150);
    CHECK(trace.window_ends.back() == 3150);
    std::uint32_t scanned = 0;
    for (const TraceAccess access : trace.accesses)
        scanned += access.page >= 100 ? 1 : 0;
    CHECK(scanned == 150);
}

TEST_CASE("the phase mix returns to its sets") {
    PhaseMix mix;
    mix.sets = 2;
    mix.pages = 160;
    mix.stay = 400;
    mix.rounds = 2;
    const PageTrace trace = make_phase_mix(mix);
    REQUIRE(trace.accesses.size() == 1600);
    CHECK(trace.window_instructions == 50000000); // 20 accesses of 400, 10 seconds
    const auto set_of = [&](std::size_t turn) {
        std::set<std::uint32_t> pages;
        for (std::size_t i = turn * 400; i < (turn + 1) * 400; ++i)
            pages.insert(trace.accesses[i].page);
        return pages;
    };
    CHECK(set_of(0).size() == 160);
    CHECK(set_of(0) == set_of(2));
    CHECK(set_of(1) == set_of(3));
    CHECK(set_of(0) != set_of(1));
    for (std::size_t i = 0; i < 160; ++i) // in the same order
        CHECK(trace.accesses[i].page == trace.accesses[800 + i].page);
}
