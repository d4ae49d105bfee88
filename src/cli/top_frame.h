// SPDX-License-Identifier: GPL-2.0-or-later
//
// One picture of `tidemark top`: numbers in, lines out. No terminal, no clock.
#pragma once

#include "cli/guest_row.h"

#include <cstddef>
#include <string>
#include <vector>

namespace tidemark::cli {

struct TopData {
    std::string host;  // what the first line names
    double budget = 0; // bytes of DRAM for all guests; 0: not known
    std::vector<GuestRow> guests;
    std::vector<TierRow> tiers;
    std::string problem; // why the numbers are old; empty: they are not
};

struct TopView {
    std::size_t columns = 80, rows = 24;
    std::string sort = "dram";
    std::size_t first = 0; // guests passed over
    bool colour = false;
    bool all = false; // print every guest, however many
    std::string clock;
};

// At most view.rows lines of at most view.columns characters (escape sequences not counted).
std::vector<std::string> top_frame(TopData data, const TopView &view);
// How many guests fit below the headings.
std::size_t guests_that_fit(const TopData &data, const TopView &view);

} // namespace tidemark::cli
