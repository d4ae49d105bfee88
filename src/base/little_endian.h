// SPDX-License-Identifier: GPL-2.0-or-later
//
// Numbers in files: little-endian, whatever the host is.
#pragma once

#include <cstddef>

namespace tidemark {

template <typename Word> void put_word(std::byte *at, Word value) {
    for (std::size_t i = 0; i < sizeof(Word); ++i)
        at[i] = static_cast<std::byte>(value >> (8 * i));
}

template <typename Word> Word get_word(const std::byte *at) {
    Word value = 0;
    for (std::size_t i = 0; i < sizeof(Word); ++i)
        value = static_cast<Word>(value | (std::to_integer<Word>(at[i]) << (8 * i)));
    return value;
}

} // namespace tidemark
