// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the daemon knows about one guest. Read it through Guests; only Guests writes it.
#pragma once

#include "daemon/guest_history.h"
#include "daemon/guest_settings.h"
#include "daemon/guest_stats.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace tidemark::daemon {

// Something a guest's QEMU reported: "TIERED_MEMORY_ERROR", its data as one line for people.
struct GuestEvent {
    std::int64_t unix_ms = 0;
    std::string name;
    std::string text;
};

// A working set being recorded, or the last one that was.
struct RecordState {
    enum class Phase : std::uint8_t { none, recording, saved, failed };
    Phase phase = Phase::none;
    bool gives_way = false; // while recording: nobody asked for it, so whoever asks takes its place
    std::int64_t ends_unix_ms = 0; // while recording
    std::uint64_t pages = 0;       // when saved
    std::string sentence;          // when failed
};

struct Guest {
    static constexpr std::size_t kMaxEvents = 64;

    // Who it is. title, labels, group name and service come from the resolved domain; empty without.
    std::string uuid; // lower case, with dashes
    std::string name, title;
    std::vector<std::string> labels;
    std::string group_uuid_of_domain, group_name_of_domain, service_of_domain;

    // Its QEMU: 0 and false while none is connected.
    pid_t pid = 0;
    uid_t uid = 0;
    bool connected = false;
    bool paused = false; // its vCPUs stand still, so nothing of its memory is used
    std::int64_t connected_unix_ms = 0;
    std::uint64_t connections = 0; // since the daemon started

    // True if a resolved domain exists: libvirt knows it.
    bool has_domain = false;
    // Its RAM now, with what was plugged in: the sum of its backends, or the domain's word while it has none.
    std::uint64_t memory = 0;
    // What the domain's word is about, the RAM it starts with; 0 without a domain.
    std::uint64_t booted_memory = 0;

    GuestSettings from_domain, from_operator;
    std::optional<GuestGroup> group; // the one it really belongs to
    EffectiveSettings settings;      // what the four voices come to
    // What the budget arbiter grants it now; it wins over settings.dram_limit. 0: nothing granted.
    std::uint64_t granted = 0;
    // Settings QEMU refused, as a sentence; empty if all are in force or on their way.
    std::string settings_problem;
    // Why its domain's element as it is now has no effect, as a sentence; empty if it is in force.
    std::string element_problem;

    // The last answers, of all backends; empty before the first one.
    std::vector<BackendStats> stats;
    std::int64_t stats_unix_ms = 0;
    std::vector<BackendProfile> profile; // with heat
    std::int64_t profile_unix_ms = 0;
    // The same as QEMU wrote them: a JSON array each, or empty.
    std::string stats_json, profile_json;
    std::uint64_t poll_failures = 0;
    GuestHistory history;

    std::deque<GuestEvent> events;                    // newest last, at most kMaxEvents
    std::map<std::string, std::uint64_t> event_count; // by name, since the daemon started
    RecordState record;

    std::uint64_t dram_used() const;  // bytes, all backends
    std::uint64_t dram_limit() const; // in force now, all backends
    // The sum of its backends' sizes.
    std::uint64_t tiered_memory() const;
    // What its domain says of the RAM it starts with, as it is for what it has now.
    std::uint64_t in_proportion(std::uint64_t bytes) const;
};

} // namespace tidemark::daemon
