// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pieces of the sentences that say what is wrong.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::domain {

using Problems = std::vector<std::string>;

// The value in quotes, cut if it is long: it comes from a file that somebody else wrote.
std::string in_quotes(std::string_view text);

// "a", "a and b", "a, b and c"; `last` is the word before the last one.
std::string listed(const std::vector<std::string> &words, std::string_view last = "and");

} // namespace tidemark::domain
