// SPDX-License-Identifier: GPL-2.0-or-later
//
// Words of others, of which only so much is kept or shown.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tidemark {

// The first bytes of a text, at most so many. Never a part of a character of UTF-8: what reads the text after us
// would refuse all of it.
inline std::string cut(std::string_view text, std::size_t most) {
    if (text.size() <= most)
        return std::string(text);
    std::size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
        --end;
    return std::string(text.substr(0, end));
}

} // namespace tidemark
