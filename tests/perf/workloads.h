// SPDX-License-Identifier: GPL-2.0-or-later
//
// The workloads of the process bench. README.md says what each is for.
#pragma once

#include "fine_histogram.h"
#include "json.h"
#include "memory_side.h"
#include "orders.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tidemark::perf {

struct Settings {
    std::uint64_t pages = 0;
    std::uint64_t dram_pages = 0; // what the limited sides may use; the hot set is cut from it
    std::uint64_t seed = 1;
    double max_seconds = 0; // a workload of random accesses stops then; 0 = never
    double idle_seconds = 3;
    std::uint32_t cold_age = 0;               // seconds; idle-reclaim looks after twice that
    std::uint64_t returns = 3;                // of each page of `returning`
    std::uint64_t periods = 6;                // of phases
    std::string folder;                       // on the measured disk
    std::string neighbour_group;              // see Neighbour
    std::map<std::string, std::uint64_t> ops; // where not the default
};

struct Result {
    FineHistogram latency; // of each timed access; the checks between them are not in it
    double seconds = 0;    // all of it, the checks too
    std::uint64_t bad = 0; // accesses that found wrong bytes
    bool capped = false;   // max_seconds cut it short
    JsonObject extra;
};

inline double seconds_between(std::chrono::steady_clock::time_point from,
                              std::chrono::steady_clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

class Workloads {
  public:
    Workloads(MemorySide &side, const Settings &settings);

    static const std::vector<std::string> &names();
    static bool known(const std::string &name);

    Result run(const std::string &name);
    // True if the last workload looked at every byte.
    bool all_checked() const { return all_checked_; }

  private:
    using Clock = std::chrono::steady_clock;
    enum class Access { kRead, kWrite };     // kWrite: check and change
    enum class Check { kStamp, kWholePage }; // beside the access itself, untimed

    void fill(Result &result);
    void pass(Result &result, Access access);
    void strided(Result &result);
    void random(Result &result, Order &order, Access access, std::uint64_t ops);
    struct Piece {
        std::size_t first, count;
    };
    Piece hot_piece() const;
    void hot(Result &result);
    void zipf_hot(Result &result);
    // In foretold.cc.
    void repeated(Result &result);
    void phases(Result &result);
    void job(Result &result);
    void idle_reclaim(Result &result);
    void returning(Result &result);
    void fault_kinds(Result &result);
    void clean_pass(Result &result);
    void with_threads(Result &result, unsigned threads);
    void idle(Result &result);

    // Returns how long the access took, in ns.
    std::uint64_t step(Result &result, std::size_t page, Access access, Check check);
    Clock::time_point restart_deadline();
    bool out_of_time(Result &result) const;
    std::uint64_t ops_of(const std::string &name, std::uint64_t normal) const;
    std::uint64_t *words(std::size_t page) const;

    MemorySide &side_;
    Settings settings_;
    std::vector<std::uint32_t> versions_; // by page; each page is changed by one thread at a time
    Clock::time_point deadline_;
    bool all_checked_ = false;
};

} // namespace tidemark::perf
