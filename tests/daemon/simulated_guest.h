// SPDX-License-Identifier: GPL-2.0-or-later
//
// A FakeQemu that answers as a guest with tiered memory does, and obeys.
#pragma once

#include "fake_qemu.h"

#include <cstdint>
#include <fstream>
#include <string>

namespace tidemark::daemon::testing {

inline json backend_json(const std::string &id, std::uint64_t size) {
    json pages = json::object();
    for (const char *state :
         {"untouched", "zero", "staged", "arrived", "in-transit", "held", "poisoned", "remote"})
        pages[state] = 0;
    pages["resident"] = size / 4096 / 4;
    pages["stored"] = size / 4096 - size / 4096 / 4;
    return {{"id", id},
            {"size", size},
            {"dram-limit", size / 4},
            {"eviction-policy", "lru"},
            {"cold-age", 120},
            {"prefetch", true},
            {"prefetch-window", 10},
            {"learn", true},
            {"predictors", {"streams", "phases"}},
            {"reclaim-slowdown", 20},
            {"armed", true},
            {"dram-used", size / 4},
            {"dram-slack", 1 << 20},
            {"metadata-bytes", 1 << 16},
            {"prefetch-queued", 3},
            {"pages", pages},
            {"tiers",
             {{{"path", "/tier"},
               {"class", "nvme"},
               {"degraded", false},
               {"direct-io", true},
               {"capacity", 2 * size},
               {"write-budget", 0},
               {"used", size / 2},
               {"pages", 7},
               {"read-bytes", 4096},
               {"written-bytes", 8192},
               {"read-errors", 1},
               {"write-errors", 2},
               {"checksum-errors", 3},
               {"write-sizes", json::array()}}}},
            {"counters",
             {{"faults", 100},
              {"faults-untouched", 40},
              {"faults-staged", 10},
              {"faults-stored", 30},
              {"faults-arrived", 20},
              {"faults-parked", 1},
              {"refaults", 35},
              {"readahead-pages", 8},
              {"readahead-used", 4},
              {"prefetch-pages", 9},
              {"prefetch-declined", 2},
              {"prefetch",
               {{{"origin", "streams"}, {"issued", 9}, {"used", 5}, {"late", 1}, {"wasted", 2}}}},
              {"evicted-pages", 50},
              {"zero-elided", 6},
              {"clean-elided", 7},
              {"huge-moves", 1},
              {"promoted-pages", 3},
              {"demoted-pages", 4},
              {"discarded-pages", 5},
              {"move-busy", 0}}},
            {"fault-latency",
             {{"count", 100},
              {"p50", 2000},
              {"p99", 90000},
              {"p999", 200000},
              {"buckets", {{{"below", 2000}, {"count", 90}}, {{"below", 90000}, {"count", 10}}}}}}};
}

inline json profile_json(const std::string &id, std::uint64_t size, double seconds) {
    json cells = json::array();
    for (int i = 0; i < 64; ++i)
        cells.push_back(i < 8 ? 100.5 : 0.0);
    return {
        {"id", id},
        {"seconds", seconds},
        {"watching", true},
        {"lost-accesses", 0},
        {"working-set", {{{"window", 60}, {"seen", 4096}, {"estimate", 8192}, {"untested", 0}}}},
        {"cold", {{{"age", 120}, {"bytes", 4096}, {"tested", 0}}}},
        {"used-per-second", 12.5},
        {"written-per-second", 1.5},
        {"write-share", 0.25},
        {"locality", 0.5},
        {"in-order", 0.1},
        {"waits-per-second", 3.0},
        {"refaults-per-second", 2.0},
        {"more-dram", {{{"bytes", size / 8}, {"saved-waits", 0.5}, {"saved-refaults", 0.4}}}},
        {"phase", 1},
        {"phases", 2},
        {"phase-changes", 3},
        {"phase-seconds", 30.0},
        {"workload", "web"},
        {"workload-confidence", 0.8},
        {"workload-labelled", false},
        {"heat", {{"cell-bytes", size / 64}, {"cells", cells}}},
        {"forecasters", json::array()},
        {"learner-bytes", 65536},
        {"learner-cpu-seconds", 0.5},
        {"reclaim-slowdown", 0.01}};
}

struct SimulatedGuest {
    SimulatedGuest(boost::asio::io_context &io, const std::string &path, std::string uuid_,
                   std::string name_, std::vector<std::pair<std::string, std::uint64_t>> backends)
        : uuid(std::move(uuid_)), name(std::move(name_)) {
        for (const auto &[id, size] : backends) {
            stats.push_back(backend_json(id, size));
            profile.push_back(profile_json(id, size, 10));
        }
        connect(io, path);
    }
    ~SimulatedGuest() { qemu->close(); }

    void connect(boost::asio::io_context &io, const std::string &path) {
        qemu = FakeQemu::connect(io, path);
        qemu->answer("query-uuid", {{"UUID", uuid}});
        qemu->answer("query-name", {{"name", name}});
        qemu->answer("query-tiered-memory", [this](const json &) {
            return json{{"return", stats}};
        });
        qemu->answer("query-tiered-memory-profile", [this](const json &) {
            return json{{"return", profile}};
        });
        qemu->answer("tiered-memory-configure",
                     [this](const json &arguments) { return configure(arguments); });
        qemu->answer("tiered-memory-record-start", json::object());
        qemu->answer("tiered-memory-record-save", [](const json &arguments) {
            return write(arguments, "working set", {{"pages", 11}});
        });
        qemu->answer("tiered-memory-learned-save", [](const json &arguments) {
            return write(arguments, "learnt", json::object());
        });
        qemu->start();
    }

    static json write(const json &arguments, const char *text, const json &returned) {
        if (!arguments.contains("file")) // thrown away
            return {{"return", returned}};
        std::ofstream(arguments.at("file").get<std::string>()) << text;
        return {{"return", returned}};
    }

    json configure(const json &arguments) {
        if (!refuse.empty())
            return FakeQemu::error(refuse);
        for (json &backend : stats)
            if (!arguments.contains("id") || arguments["id"] == backend["id"])
                for (const auto &[key, value] : arguments.items())
                    backend[key] = value;
        return {{"return", json::object()}};
    }

    std::vector<json> configured() const { return qemu->received("tiered-memory-configure"); }

    std::string uuid, name;
    json stats = json::array(), profile = json::array();
    std::string refuse; // a sentence: settings are not taken
    std::shared_ptr<FakeQemu> qemu;
};

} // namespace tidemark::daemon::testing
