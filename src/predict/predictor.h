// SPDX-License-Identifier: GPL-2.0-or-later
//
// One concept for all that forecasts which memory a guest needs, seconds ahead. (What is expected microseconds
// ahead, streams and successors, is the engine's own: it must be known while the fault is served.)
#pragma once

#include "base/result.h"
#include "base/units.h"
#include "engine/access.h"

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace tidemark {

// What was seen in one window of time. Windows follow each other without gaps.
struct Window {
    double begin = 0, seconds = 0;    // since the backend was attached
    std::span<const Access> accesses; // in the order in which they were seen
    std::span<const float> heat;      // per 2 MiB region: pages seen used in this window
};

struct Expectation {
    PageRun run;
    float confidence = 0; // 0 to 1: the share of its pages that will be used before `until`
    double until = 0;     // same clock as Window::begin
};

// Not thread-safe: all predictors of a backend belong to one thread.
class Predictor {
  public:
    virtual ~Predictor() = default;
    virtual Origin origin() const = 0;
    virtual std::string_view name() const = 0;
    virtual void observe(const Window &window) = 0;
    // Appends what is expected from the end of the last window on, soonest first. What is in DRAM already may
    // be named: the engine passes over it.
    virtual void expect(std::vector<Expectation> &out) = 0;
    // What was learnt, as bytes for a file (little-endian, versioned, checksummed); empty if nothing is worth
    // keeping.
    virtual std::vector<std::byte> save() const { return {}; }
    virtual Result<void> restore(std::span<const std::byte>) { return {}; }
    virtual std::size_t bytes() const = 0;
};

} // namespace tidemark
