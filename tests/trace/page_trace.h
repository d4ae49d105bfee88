// SPDX-License-Identifier: GPL-2.0-or-later
//
// A page-access trace: which pages of its RAM a guest touched, window by window, as a file. Little-endian:
//
//    offset  size  what
//         0     8  "TMTRACE\n"
//         8     4  version, 1
//        12     4  pages of the guest's RAM
//        16     8  instructions per window
//        24     4  windows
//        28     4  accesses
//        32     4  bytes of the body
//        36     4  bytes of the body as stored
//        40     8  XXH3-64 of bytes [0, 40), the name and the stored body
//        48    32  name, padded with zeros
//        80        the body, compressed with zstd
//
//    body: per window the number of its accesses, then each of them: zigzag(page - previous page) << 1 | write,
//          all as varints of 7 bits a byte, the least significant first
//
// A window holds each page once, where it was first touched in it; `write` says that it was written in the window.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tidemark::trace {

struct TraceAccess {
    std::uint32_t page = 0;
    bool write = false;
    bool operator==(const TraceAccess &) const = default;
};

struct PageTrace {
    std::string name;
    std::uint32_t pages = 0; // of the guest's RAM
    std::uint64_t window_instructions = 0;
    std::vector<TraceAccess> accesses;
    std::vector<std::uint32_t> window_ends; // index of the access after each window's last one
    bool operator==(const PageTrace &) const = default;
};

inline constexpr std::size_t kNameBytes = 32;
inline constexpr std::size_t kTraceBytesMost = std::size_t{16} << 20; // as stored
inline constexpr std::size_t kBodyBytesMost = std::size_t{256} << 20;

std::vector<std::byte> encode(const PageTrace &trace);
// Fails with a sentence about what is wrong with the bytes; nothing is returned of a damaged trace.
Result<PageTrace> decode(std::span<const std::byte> bytes);

// What plugin/page_accesses.c writes: words of 4 bytes, little-endian. The first four are "TMRW", pages, and the
// instructions per window (low half first); then page << 1 | write, and UINT32_MAX at the end of each window.
Result<PageTrace> decode_raw(std::span<const std::byte> bytes, const std::string &name);

} // namespace tidemark::trace
