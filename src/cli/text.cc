// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/text.h"

#include "domain/size.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>

namespace tidemark::cli {
namespace {

std::string with_unit(double value, const char *unit, const char *between) {
    std::array<char, 48> buffer{};
    const int digits = value < 10 && value != std::floor(value) ? 1 : 0;
    std::snprintf(buffer.data(), buffer.size(), "%.*f%s%s", digits, value, between, unit);
    return buffer.data();
}

template <std::size_t N>
std::string scaled(double value, double step, const std::array<const char *, N> &units,
                   const char *between) {
    std::size_t unit = 0;
    // 999.5 would be printed as four digits.
    while (unit + 1 < N && value >= std::min(step, 999.5)) {
        value /= step;
        unit++;
    }
    return with_unit(value, units[unit], units[unit][0] == '\0' ? "" : between);
}

bool continues_character(char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

} // namespace

std::string bytes_text(double bytes) {
    static constexpr std::array<const char *, 7> kUnits{"B",   "KiB", "MiB", "GiB",
                                                        "TiB", "PiB", "EiB"};
    return scaled(bytes, 1024, kUnits, " ");
}

std::string nanoseconds_text(double nanoseconds) {
    static constexpr std::array<const char *, 4> kUnits{"ns", "us", "ms", "s"};
    return scaled(nanoseconds, 1000, kUnits, " ");
}

std::string count_text(double count) {
    static constexpr std::array<const char *, 5> kUnits{"", "k", "M", "G", "T"};
    return scaled(count, 1000, kUnits, "");
}

std::string percent_text(double share) {
    return with_unit(std::round(share * 100), "%", " ");
}

Result<ByteRange> parse_range(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos)
        return fail(EINVAL, "'" + std::string(text) +
                                "' is not a range: OFFSET:LENGTH is accepted, such as 1GiB:64MiB");
    const auto number = [](const char *what, std::string_view part) -> Result<std::uint64_t> {
        return domain::parse_size(part).map_error([&](Error error) {
            error.sentence = std::string("the range's ") + what + " " + error.sentence;
            return error;
        });
    };
    const auto offset = number("offset", text.substr(0, colon));
    if (!offset)
        return tl::unexpected<Error>(offset.error());
    const auto length = number("length", text.substr(colon + 1));
    if (!length)
        return tl::unexpected<Error>(length.error());
    return ByteRange{*offset, *length};
}

std::size_t columns_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); }));
}

std::string clipped(std::string_view text, std::size_t columns) {
    std::string clean;
    // Names come from domains that others wrote: none of them moves the cursor. C1 control
    // characters (0x80 to 0x9f) are C2 80 to C2 9F in UTF-8.
    for (std::size_t i = 0; i < text.size(); i++) {
        const auto c = static_cast<unsigned char>(text[i]);
        const bool c1 =
            c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        if (c1)
            i++;
        clean += c < 0x20 || c == 0x7f || c1 ? '?' : text[i];
    }
    if (columns_of(clean) <= columns)
        return clean;
    if (columns == 0)
        return "";
    std::size_t end = 0;
    for (std::size_t seen = 0; end < clean.size(); end++) {
        if (!continues_character(clean[end]) && ++seen == columns)
            break;
    }
    return clean.substr(0, end) + "~";
}

std::string padded(std::string_view text, std::size_t columns, bool right) {
    std::string cell = clipped(text, columns);
    const std::string space(columns - columns_of(cell), ' ');
    return right ? space + cell : cell + space;
}

Table::Table(std::vector<std::string> headings) : headings_(std::move(headings)) {
    for (std::string &heading : headings_) {
        right_.push_back(heading.starts_with(">"));
        if (right_.back())
            heading.erase(0, 1);
    }
}

void Table::add(std::vector<std::string> cells) {
    cells.resize(headings_.size());
    rows_.push_back(std::move(cells));
}

std::vector<std::string> Table::lines() const {
    static constexpr std::size_t kWidest = 60;
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < headings_.size(); i++) {
        std::size_t width = columns_of(headings_[i]);
        for (const auto &row : rows_)
            width = std::max(width, columns_of(row[i]));
        widths.push_back(std::min(width, kWidest));
    }
    std::vector<std::string> out;
    const auto add_line = [&](const std::vector<std::string> &cells) {
        std::string line;
        for (std::size_t i = 0; i < cells.size(); i++) {
            // The last column is not filled up: lines end where their text does.
            const bool last = i + 1 == cells.size() && !right_[i];
            line += last ? clipped(cells[i], kWidest) : padded(cells[i], widths[i], right_[i]);
            line += i + 1 == cells.size() ? "" : "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out.push_back(line);
    };
    add_line(headings_);
    for (const auto &row : rows_)
        add_line(row);
    return out;
}

std::string Table::text() const {
    std::string out;
    for (const std::string &line : lines())
        out.append(line).append("\n");
    return out;
}

} // namespace tidemark::cli
