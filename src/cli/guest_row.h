// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests and tiers as lists show them. What the daemon leaves out counts as 0 or empty, so that a command
// works with a daemon of another version.
#pragma once

#include "cli/api.h"

#include <string>
#include <vector>

namespace tidemark::cli {

struct GuestRow {
    std::string uuid, name, group, workload;
    bool connected = false;
    double memory = 0, used = 0, limit = 0; // bytes; limit 0: none
    double stored = 0;                      // bytes that are only on a tier
    double faults = 0, waits = 0;           // a second
    double p99_ns = 0;
    double held_pages = 0; // accesses to them wait for an operator
    bool degraded = false; // one of its tiers
    bool refused = false;  // its QEMU did not take its settings
};

GuestRow guest_row(const Json &guest);
// In one word: "ok", or what is wrong.
std::string state_of(const GuestRow &guest);
// By column: "dram", "faults", "latency" (most first) or "name".
void sort_rows(std::vector<GuestRow> &rows, const std::string &column);
std::vector<GuestRow> guest_rows(const Json &guests);

struct TierRow {
    std::string name, klass, path;
    double capacity = 0, used = 0;   // bytes
    double guests = 0, degraded = 0; // guests
};
TierRow tier_row(const Json &tier);

// Bytes of DRAM for all guests, as /status tells; 0: not told.
double budget_of(const Json &status);

} // namespace tidemark::cli
