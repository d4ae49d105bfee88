// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/text.h"
#include "cli/top_frame.h"

#include <catch2/catch_test_macros.hpp>

using namespace tidemark::cli;

namespace {

TopData host_with(std::size_t guests) {
    TopData data;
    data.host = "h1";
    data.budget = 8.0 * (1 << 30);
    for (std::size_t i = 0; i < guests; i++) {
        GuestRow guest;
        guest.uuid = std::to_string(i);
        guest.name = "vm" + std::to_string(i);
        guest.connected = true;
        guest.memory = 4.0 * (1 << 30);
        guest.used = static_cast<double>(i) * (1 << 20);
        guest.faults = static_cast<double>((i * 7) % 10);
        data.guests.push_back(guest);
    }
    return data;
}

// Without escape sequences.
std::string plain(const std::string &line) {
    std::string out;
    for (std::size_t i = 0; i < line.size(); i++) {
        if (line[i] == '\x1b')
            i = line.find('m', i);
        else
            out += line[i];
    }
    return out;
}

} // namespace

TEST_CASE("no frame is larger than the terminal, whatever its size") {
    for (const std::size_t guests : {0U, 1U, 200U}) {
        for (std::size_t columns = 1; columns < 180; columns += 7) {
            for (const std::size_t rows : {2U, 8U, 24U, 60U}) {
                TopView view;
                view.columns = columns;
                view.rows = rows;
                view.colour = true;
                view.clock = "12:00:00";
                const auto lines = top_frame(host_with(guests), view);
                INFO(guests << " guests, " << columns << " x " << rows);
                CHECK(lines.size() <= rows);
                for (const std::string &line : lines)
                    CHECK(columns_of(plain(line)) <= columns);
            }
        }
    }
}

TEST_CASE("guests are in the order asked for") {
    TopView view;
    view.columns = 120;
    view.rows = 40;
    const auto first_guest = [&] {
        const auto lines = top_frame(host_with(10), view);
        for (std::size_t i = 0; i < lines.size(); i++) {
            if (lines[i].starts_with("GUEST"))
                return lines.at(i + 1).substr(0, 3);
        }
        return std::string();
    };
    view.sort = "dram";
    CHECK(first_guest() == "vm9");
    view.sort = "name";
    CHECK(first_guest() == "vm0");
    view.sort = "faults";
    CHECK(first_guest() == "vm7");
}

TEST_CASE("what does not fit is counted, and can be reached") {
    TopView view;
    view.columns = 100;
    view.rows = 14;
    view.sort = "name";
    const TopData data = host_with(50);
    const std::size_t fit = guests_that_fit(data, view);
    REQUIRE(fit < 50);
    CHECK(top_frame(data, view).back().starts_with(std::to_string(50 - fit) + " more below"));
    view.first = 50 - fit;
    const auto lines = top_frame(data, view);
    CHECK(lines.back().starts_with("sort by"));
    CHECK(lines[lines.size() - 2].starts_with("vm9"));
}

TEST_CASE("a guest in trouble and a lost daemon are told") {
    TopData data = host_with(1);
    data.guests[0].held_pages = 2;
    data.problem = "tidemarkd does not answer";
    TopView view;
    view.columns = 120;
    std::string all;
    for (const std::string &line : top_frame(data, view))
        all += line + "\n";
    CHECK(all.find("pages held") != std::string::npos);
    CHECK(all.find("tidemarkd does not answer") != std::string::npos);
}
