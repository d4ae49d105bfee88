// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/guest_row.h"

#include <algorithm>

namespace tidemark::cli {

GuestRow guest_row(const Json &guest) {
    GuestRow row;
    row.uuid = text_of(guest, "uuid");
    row.name = text_of(guest, "name", row.uuid);
    row.group = text_of(member(guest, "group"), "name");
    row.workload = text_of(guest, "workload");
    row.connected = bool_of(guest, "connected");
    row.memory = number_of(guest, "memory");
    row.used = number_of(guest, "dramUsed");
    row.limit = number_of(guest, "dramLimit");
    row.stored = number_of(guest, "stored");
    row.faults = number_of(guest, "faultsPerSecond");
    row.waits = number_of(guest, "waitsPerSecond");
    row.p99_ns = number_of(guest, "latencyP99Ns");
    row.held_pages = number_of(guest, "heldPages");
    for (const Json &tier : array_of(guest, "tiers"))
        row.degraded = row.degraded || bool_of(tier, "degraded");
    row.refused =
        !text_of(guest, "settingsProblem").empty() || !text_of(guest, "elementProblem").empty();
    return row;
}

std::string state_of(const GuestRow &guest) {
    if (!guest.connected)
        return "not connected";
    if (guest.held_pages > 0)
        return "pages held";
    if (guest.degraded)
        return "tier degraded";
    return guest.refused ? "not as set" : "ok";
}

void sort_rows(std::vector<GuestRow> &rows, const std::string &column) {
    const auto key = [&](const GuestRow &row) {
        return column == "faults" ? row.faults : column == "latency" ? row.p99_ns : row.used;
    };
    std::sort(rows.begin(), rows.end(), [&](const GuestRow &a, const GuestRow &b) {
        if (column != "name" && key(a) != key(b))
            return key(a) > key(b);
        return a.name != b.name ? a.name < b.name : a.uuid < b.uuid;
    });
}

std::vector<GuestRow> guest_rows(const Json &guests) {
    std::vector<GuestRow> rows;
    for (const Json &guest : guests)
        rows.push_back(guest_row(guest));
    return rows;
}

TierRow tier_row(const Json &tier) {
    TierRow row;
    row.path = text_of(tier, "path");
    row.name = text_of(tier, "name", row.path);
    row.klass = text_of(tier, "class");
    // A tier that the host does not bound has what was allotted to guests.
    row.capacity = number_of(tier, "capacity");
    if (row.capacity <= 0)
        row.capacity = number_of(tier, "allotted");
    row.used = number_of(tier, "used");
    row.guests = number_of(tier, "guests");
    row.degraded = number_of(tier, "degradedFor");
    return row;
}

double budget_of(const Json &status) {
    return number_of(status, "dramBudget");
}

} // namespace tidemark::cli
