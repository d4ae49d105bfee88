// SPDX-License-Identifier: GPL-2.0-or-later
//
// What kind of work a guest does, as far as its use of memory shows it. A rule of thumb, and meant to be read:
// each class is a row of conditions, each holds to a degree between 0 and 1 that rises in a straight line from its
// first value to its second (which may be the smaller one), and a class fits as well as its worst condition
// (the minimum rule of fuzzy sets: Zadeh, 1965; Mamdani and Assilian, 1975).
//
//              | active       | tested       | in order     | writes       | spread     | evidence
//    ----------+--------------+--------------+--------------+--------------+------------+-----------
//    idle      | 0.05 -> 0.02 | 0 -> 0.002   |              |              |            |
//    batch     | 0.02 -> 0.05 |              | 0.40 -> 0.70 |              |            | 256 -> 1024
//    database  | 0.02 -> 0.05 |              | 0.60 -> 0.30 | 0.05 -> 0.15 | 3.6 -> 4.4 | 256 -> 1024
//    web       | 0.02 -> 0.05 |              | 0.60 -> 0.30 | 0.15 -> 0.05 | 3.6 -> 4.4 | 256 -> 1024
//
//    active     estimate of the working set of 60 s, as a share of the memory the guest ever touched
//    tested     pages on probation, as a share of the memory in DRAM: without, silence means nothing; 1 if all but 2 %
//               of the guest's memory has left DRAM or is on probation
//    in order   share of the pages used where a walk led to (access_pattern.h)
//    writes     share of writes among faults on memory that had been used before
//    spread     third quartile of the refault distances, divided by the first. A pass that comes again has
//               nearly 1, the same odds for every page 3 (3/4 over 1/4), a few pages much more often than most
//               (keys, indexes, caches) more: 5.6 for zipf 0.99 on a quarter of it. (That skew tells servers from the rest is this rule's
//               assumption, not a law.)
//    evidence   pages seen used, and for the last two pages seen to come back, in the last minutes
//
// The best fit is the class if it is at least kLeastFit and beats the next by kFitAhead; its fit is the confidence.
// Otherwise, or when the guest is not watched, the class is unknown, and the confidence 0.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tidemark {

enum class WorkloadClass : std::uint8_t { unknown = 0, database, web_cache, batch_scan, idle };
inline constexpr std::size_t kWorkloadClasses = 5;

std::string_view name_of(WorkloadClass workload); // "unknown", "database-like", "web-like", ...
std::optional<WorkloadClass> workload_class_of(std::string_view name);

struct WorkloadFeatures {
    bool watching = false;
    double active = 0, tested = 0, in_order = 0, writes = 0, spread = 0;
    double used_pages = 0, refaulted_pages = 0;
};

struct WorkloadGuess {
    WorkloadClass workload = WorkloadClass::unknown;
    double confidence = 0;
    bool labelled = false; // by the operator: certain
};

inline constexpr double kLeastFit = 0.5, kFitAhead = 0.1;

// How well each class fits; `unknown` always 0.
std::array<double, kWorkloadClasses> fits(const WorkloadFeatures &features);
WorkloadGuess classify(const WorkloadFeatures &features);

} // namespace tidemark
