// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a trace is replayed against, under one roof: a name, and the counts with so many pages of DRAM.
#pragma once

#include "engine_model.h"
#include "page_trace.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tidemark::trace {

enum class Sort : std::uint8_t {
    optimum, // knows the future
    exact,   // sees every access
    engine,  // sees faults: the engine's policy alone
    ahead,   // the same, with something that brings pages in unasked
};

struct Contestant {
    std::string name;
    Sort sort = Sort::exact;
    std::function<ModelCounts(std::uint32_t dram)> run;
};

// A forecast of src/predict; made anew for each replay, because it learns. `pages` of RAM, `dram` of them in DRAM.
struct Forecast {
    std::unique_ptr<Predictor> owner;
    Partner partner;
};
struct NamedPredictor {
    std::string name;
    std::function<Forecast(std::uint32_t pages, std::uint32_t dram)> make;
};
std::vector<NamedPredictor> predictors();

struct Guest {
    double mips = 100;              // million instructions a second: how long a trace lasted
    std::uint32_t staged_share = 0; // in 1/256 of DRAM; 0: the policies' own
};

// Seconds per window of the trace's are needed by the predictors only.
ModelCounts replay(const PageTrace &trace, const ModelOptions &options, double seconds_per_window);
// The trace must outlive them.
std::vector<Contestant> contestants(const PageTrace &trace, const Guest &guest);

} // namespace tidemark::trace
