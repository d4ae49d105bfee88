// SPDX-License-Identifier: GPL-2.0-or-later
//
// Amounts of memory as operators write them: '4096', '512MiB', '4G' (powers of 1024), or '25%'.
// The one parser for the domain element, tidemark.toml, the command and the REST interface.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace tidemark::domain {

// Bytes, or percent of something that is known later.
struct Amount {
    enum class Unit : std::uint8_t { bytes, percent };
    Unit unit = Unit::bytes;
    std::uint64_t value = 0;

    static constexpr Amount percent(std::uint64_t value) { return {Unit::percent, value}; }
    static constexpr Amount bytes(std::uint64_t value) { return {Unit::bytes, value}; }
    // In bytes, of `whole` bytes.
    std::uint64_t of(std::uint64_t whole) const;
    // As it would be written: '25%', '4GiB'.
    std::string text() const;
    bool operator==(const Amount &) const = default;
};

// No size may be larger.
inline constexpr std::uint64_t kSizeMost = std::uint64_t{1} << 60;

// Digits, then nothing, B, K, M, G, T, KiB, MiB, GiB or TiB. The error's sentence names the value and
// what is accepted, and reads on after "attribute x ": "is '4GB'; it must be ...".
Result<std::uint64_t> parse_size(std::string_view text);
// A size, or 1% to 100%.
Result<Amount> parse_amount(std::string_view text);

// For a sentence: "4 GiB", "1536 MiB", "5 bytes".
std::string size_text(std::uint64_t bytes);

} // namespace tidemark::domain
