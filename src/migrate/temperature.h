// SPDX-License-Identifier: GPL-2.0-or-later
//
// The temperatures of a block's pages, as bytes for a migration stream. Little-endian:
//
//    offset  size  what
//         0     8  "TMTEMP\r\n"
//         8     4  version, 1
//        12     4  bytes of a page, 4096
//        16     8  bytes of the memory block
//        24     8  XXH3-64 of bytes [0, 24) and of all runs
//        32        runs of pages of one temperature, from the first page to the last: (pages - 1) * 16 + temperature,
//                  in groups of 7 bits, lowest first, the top bit set on all but the last
//
// A run takes no more bytes than it has pages, so that the whole is never larger than the header and one byte a
// page.
#pragma once

#include "base/result.h"
#include "base/units.h"
#include "base/warmth.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

// levels: one of temperature:: a page.
std::vector<std::byte> encode_temperatures(std::span<const std::uint8_t> levels);
// No block of that size takes more.
std::size_t temperature_bytes_most(std::uint64_t block_bytes);
// pages: of the block it is for. Fails with a sentence about what is wrong; nothing is returned of what is
// damaged in part.
Result<std::vector<std::uint8_t>> decode_temperatures(std::span<const std::byte> bytes,
                                                      std::uint32_t pages);

} // namespace tidemark
