// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/workload_class.h"

#include <algorithm>

namespace tidemark {

namespace {

struct Condition {
    WorkloadClass workload;
    double WorkloadFeatures::*feature;
    double from, to;
};

using Features = WorkloadFeatures;
// The table of workload_class.h.
constexpr Condition kConditions[] = {
    {WorkloadClass::idle, &Features::active, 0.05, 0.02},
    {WorkloadClass::idle, &Features::tested, 0, 0.002},

    {WorkloadClass::batch_scan, &Features::active, 0.02, 0.05},
    {WorkloadClass::batch_scan, &Features::in_order, 0.40, 0.70},
    {WorkloadClass::batch_scan, &Features::used_pages, 256, 1024},

    {WorkloadClass::database, &Features::active, 0.02, 0.05},
    {WorkloadClass::database, &Features::in_order, 0.60, 0.30},
    {WorkloadClass::database, &Features::writes, 0.05, 0.15},
    {WorkloadClass::database, &Features::spread, 3.6, 4.4},
    {WorkloadClass::database, &Features::refaulted_pages, 256, 1024},

    {WorkloadClass::web_cache, &Features::active, 0.02, 0.05},
    {WorkloadClass::web_cache, &Features::in_order, 0.60, 0.30},
    {WorkloadClass::web_cache, &Features::writes, 0.15, 0.05},
    {WorkloadClass::web_cache, &Features::spread, 3.6, 4.4},
    {WorkloadClass::web_cache, &Features::refaulted_pages, 256, 1024},
};

constexpr std::string_view kNames[kWorkloadClasses] = {"unknown", "database-like", "web-like",
                                                       "batch-like", "idle"};

double degree(const Condition &condition, const WorkloadFeatures &features) {
    const double value = features.*condition.feature;
    return std::clamp((value - condition.from) / (condition.to - condition.from), 0.0, 1.0);
}

} // namespace

std::string_view name_of(WorkloadClass workload) {
    return kNames[static_cast<std::size_t>(workload)];
}

std::optional<WorkloadClass> workload_class_of(std::string_view name) {
    for (std::size_t i = 0; i < kWorkloadClasses; ++i)
        if (kNames[i] == name)
            return static_cast<WorkloadClass>(i);
    return std::nullopt;
}

std::array<double, kWorkloadClasses> fits(const WorkloadFeatures &features) {
    std::array<double, kWorkloadClasses> fit{0, 1, 1, 1, 1};
    for (const Condition &condition : kConditions) {
        double &of = fit[static_cast<std::size_t>(condition.workload)];
        of = std::min(of, degree(condition, features));
    }
    return fit;
}

WorkloadGuess classify(const WorkloadFeatures &features) {
    if (!features.watching)
        return {};
    const auto fit = fits(features);
    const auto best = std::max_element(fit.begin(), fit.end());
    for (auto other = fit.begin(); other != fit.end(); ++other)
        if (*best < kLeastFit || (other != best && *best < *other + kFitAhead))
            return {};
    return {static_cast<WorkloadClass>(best - fit.begin()), *best, false};
}

} // namespace tidemark
