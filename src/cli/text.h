// SPDX-License-Identifier: GPL-2.0-or-later
//
// Numbers as a person writes and reads them, and columns of text.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::cli {

// "1.5 GiB": three significant digits at most, no unit that would need four before the point.
std::string bytes_text(double bytes);
// "850 ns", "12.3 us", "4.1 ms", "2.0 s".
std::string nanoseconds_text(double nanoseconds);
// "0", "12.3k", "4.5M".
std::string count_text(double count);
std::string percent_text(double share);

// "OFFSET:LENGTH", each as domain::parse_size() reads it.
struct ByteRange {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};
Result<ByteRange> parse_range(std::string_view text);

// The columns a terminal needs for UTF-8 text, if each character takes one.
std::size_t columns_of(std::string_view text);
// `text` without what would steer the terminal, cut to `columns` (the last becomes "~").
std::string clipped(std::string_view text, std::size_t columns);
std::string padded(std::string_view text, std::size_t columns, bool right = false);

// Rows below a heading, each column as wide as its widest cell. Columns whose heading starts with
// '>' stand to the right.
class Table {
  public:
    explicit Table(std::vector<std::string> headings);
    void add(std::vector<std::string> cells);
    std::vector<std::string> lines() const;
    std::string text() const;
    bool empty() const { return rows_.empty(); }

  private:
    std::vector<std::string> headings_;
    std::vector<bool> right_;
    std::vector<std::vector<std::string>> rows_;
};

} // namespace tidemark::cli
