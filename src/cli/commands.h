// SPDX-License-Identifier: GPL-2.0-or-later
//
// What each command does, given what was typed. Each prints to stdout, complains to stderr, and says
// what the program ends with. options.cc makes these from the command line.
#pragma once

#include "cli/session.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tidemark::cli {

struct TopOptions {
    bool once = false;
    double interval_s = 2;
    std::string sort = "dram";
};

// What may be set about a guest or a group; empty: stays as it is.
struct PolicyOptions {
    std::optional<std::string> eviction; // lru, lfu, fifo
    std::optional<bool> prefetch, reuse, learn, learn_writes;
    std::optional<std::uint32_t> window_s, cold_s, slowdown_permille, priority;
    std::optional<std::string> dram, floor; // "4GiB", or "25%" of its memory
    bool empty() const;
};

// Which one: a name or a UUID. For policy: a guest, unless group is set.
struct Target {
    std::string name;
    bool group = false;
};

struct PrefetchOptions {
    std::vector<std::string> ranges; // OFFSET:LENGTH
    std::string tier = "dram";
    std::optional<double> confidence;
    bool cancel = false;
};

struct DoctorOptions {
    bool fix = false;
    std::string emulator; // empty: where it is installed
    std::string root;     // empty, or a folder that stands for / (tests)
};

Exit run_status(const Session &session);
Exit run_top(const Session &session, const TopOptions &options);
Exit run_guests_list(const Session &session);
Exit run_guests_show(const Session &session, const std::string &guest);
Exit run_guests_similar(const Session &session, const std::string &guest);
Exit run_tiers(const Session &session);

Exit run_groups_list(const Session &session);
Exit run_groups_show(const Session &session, const std::string &group);
Exit run_groups_create(const Session &session, const std::string &name,
                       const PolicyOptions &policy);
Exit run_groups_set(const Session &session, const std::string &group, const std::string &new_name,
                    const PolicyOptions &policy);
Exit run_groups_delete(const Session &session, const std::string &group);
Exit run_groups_add(const Session &session, const std::string &group, const std::string &guest);
Exit run_groups_remove(const Session &session, const std::string &group, const std::string &guest);

Exit run_policy_show(const Session &session, const Target &target);
Exit run_policy_set(const Session &session, const Target &target, const PolicyOptions &policy);

Exit run_prefetch(const Session &session, const std::string &guest, const PrefetchOptions &options);
Exit run_profile(const Session &session, const std::string &guest);
Exit run_record(const Session &session, const std::string &guest, std::uint32_t seconds);
Exit run_replay(const Session &session, const std::string &guest, const std::string &from);

// Empty: what is known of the link, what QEMU is set to.
struct ForecastTerms {
    std::optional<std::uint64_t> bandwidth, downtime_ms;
};
Exit run_migrate_forecast(const Session &session, const std::string &guest,
                          const ForecastTerms &terms);

Exit run_validate(const Session &session, const std::string &file);
Exit run_doctor(const Session &session, const DoctorOptions &options);

// Names for the shell to complete: kind is "groups" or "guests". Says nothing if the daemon is away.
Exit run_names(const Session &session, const std::string &kind);

} // namespace tidemark::cli
