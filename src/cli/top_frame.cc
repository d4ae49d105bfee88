// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/top_frame.h"

#include "cli/text.h"

#include <algorithm>
#include <cmath>

namespace tidemark::cli {
namespace {

constexpr const char *kBold = "\x1b[1m";
constexpr const char *kReverse = "\x1b[7m";
constexpr const char *kRed = "\x1b[31m";
constexpr const char *kPlain = "\x1b[0m";

struct Column {
    const char *heading;
    std::size_t width;
    bool right;
    const char *sort; // its name for --sort
};
// The first columns are the most wanted: what does not fit into a narrow terminal is left out at the end.
constexpr Column kColumns[] = {
    {"GUEST", 20, false, "name"}, {"DRAM", 9, true, "dram"},  {"LIMIT", 9, true, ""},
    {"FLT/S", 7, true, "faults"}, {"WAIT/S", 7, true, ""},    {"P99", 8, true, "latency"},
    {"STATE", 13, false, ""},     {"ON FLASH", 9, true, ""},  {"MEMORY", 9, true, ""},
    {"GROUP", 16, false, ""},     {"WORKLOAD", 9, false, ""},
};

std::string painted(const std::string &text, const char *paint, bool colour) {
    return colour ? paint + text + kPlain : text;
}

std::string bar(double part, double whole, std::size_t width) {
    const double share = whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 0;
    const auto full = static_cast<std::size_t>(std::lround(share * static_cast<double>(width)));
    return "[" + std::string(full, '#') + std::string(width - full, '.') + "]";
}

std::vector<std::string> cells_of(const GuestRow &guest) {
    return {guest.name,
            bytes_text(guest.used),
            guest.limit > 0 ? bytes_text(guest.limit) : "-",
            count_text(std::round(guest.faults)),
            count_text(std::round(guest.waits)),
            guest.p99_ns > 0 ? nanoseconds_text(guest.p99_ns) : "-",
            state_of(guest),
            bytes_text(guest.stored),
            bytes_text(guest.memory),
            guest.group.empty() ? "-" : guest.group,
            guest.workload.empty() ? "-" : guest.workload};
}

std::string line_of(const std::vector<std::string> &cells, std::size_t columns) {
    std::string line;
    std::size_t used = 0;
    for (std::size_t i = 0; i < cells.size(); i++) {
        const Column &column = kColumns[i];
        const std::size_t gap = i == 0 ? 0 : 1;
        if (i > 0 && used + gap + column.width > columns)
            break;
        const std::size_t width = std::min(column.width, columns);
        line.append(gap, ' ').append(padded(cells[i], width, column.right));
        used += gap + width;
    }
    return line;
}

std::vector<std::string> heading_lines(const TopData &data, const TopView &view) {
    double used = 0;
    double memory = 0;
    double stored = 0;
    std::ptrdiff_t connected = 0;
    for (const GuestRow &guest : data.guests) {
        used += guest.used;
        memory += guest.memory;
        stored += guest.stored;
        connected += guest.connected ? 1 : 0;
    }
    std::vector<std::string> lines;
    std::string first = "tidemark" + (data.host.empty() ? "" : " on " + data.host) + "  " +
                        std::to_string(data.guests.size()) + " guests, " +
                        std::to_string(connected) + " connected";
    const std::size_t room =
        view.columns > view.clock.size() ? view.columns - view.clock.size() : 0;
    lines.push_back(room > 0 ? padded(first, room) + view.clock : clipped(first, view.columns));
    const std::string dram = data.budget > 0 ? bar(used, data.budget, 20) + " " + bytes_text(used) +
                                                   " of " + bytes_text(data.budget)
                                             : bytes_text(used);
    lines.push_back(clipped("DRAM  " + dram + "  for " + bytes_text(memory) + " of guest memory, " +
                                bytes_text(stored) + " of it on flash",
                            view.columns));
    constexpr std::size_t kTiersShown = 4;
    for (std::size_t i = 0; i < std::min(data.tiers.size(), kTiersShown); i++) {
        const TierRow &tier = data.tiers[i];
        lines.push_back(clipped(padded(tier.klass, 5) + " " + bar(tier.used, tier.capacity, 20) +
                                    " " + bytes_text(tier.used) + " of " +
                                    (tier.capacity > 0 ? bytes_text(tier.capacity) : "all") + "  " +
                                    tier.name + (tier.degraded > 0 ? "  DEGRADED" : ""),
                                view.columns));
    }
    lines.push_back(
        painted(clipped(data.problem, view.columns), kRed, view.colour && !data.problem.empty()));
    return lines;
}

std::string table_heading(const TopView &view) {
    std::vector<std::string> cells;
    for (const Column &column : kColumns)
        cells.push_back(column.heading + std::string(view.sort == column.sort ? "*" : ""));
    return painted(padded(line_of(cells, view.columns), view.columns), kReverse, view.colour);
}

} // namespace

std::size_t guests_that_fit(const TopData &data, const TopView &view) {
    const std::size_t above = heading_lines(data, view).size() + 1;
    return view.rows > above + 1 ? view.rows - above - 1 : 1;
}

std::vector<std::string> top_frame(TopData data, const TopView &view) {
    sort_rows(data.guests, view.sort);
    std::vector<std::string> lines = heading_lines(data, view);
    lines.front() = painted(lines.front(), kBold, view.colour);
    lines.push_back(table_heading(view));
    const std::size_t room = view.all ? data.guests.size() : guests_that_fit(data, view);
    const std::size_t first = std::min(view.first, data.guests.size());
    const std::size_t end = std::min(first + room, data.guests.size());
    for (std::size_t i = first; i < end; i++) {
        const std::string line = line_of(cells_of(data.guests[i]), view.columns);
        const bool bad = state_of(data.guests[i]) != "ok";
        lines.push_back(painted(line, kRed, view.colour && bad));
    }
    if (data.guests.empty())
        lines.push_back(clipped("no tiered guest runs here", view.columns));
    if (!view.all) {
        if (lines.size() > view.rows - 1)
            lines.resize(view.rows - 1);
        const std::string more = data.guests.size() > end
                                     ? std::to_string(data.guests.size() - end) + " more below; "
                                     : "";
        lines.push_back(
            clipped(more + "sort by d)ram f)aults l)atency n)ame, q)uit", view.columns));
    }
    return lines;
}

} // namespace tidemark::cli
