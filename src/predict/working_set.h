// SPDX-License-Identifier: GPL-2.0-or-later
//
// A recorded working set, as bytes: which pages a guest needed from a moment on, in the order of first use.
// Little-endian:
//
//    offset  size  what
//         0     8  "TMWSET\r\n"
//         8     4  version, 1
//        12     4  number of runs
//        16     8  bytes of the memory block it was recorded from
//        24     8  XXH3-64 of bytes [0, 24) and of all runs
//        32     8  each run: first page, number of pages (4 bytes each)
//
// (The idea of recording the pages of a start and reading them back in one go: REAP, Ustiugov et al.,
// ASPLOS 2021.)
#pragma once

#include "base/result.h"
#include "base/units.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

struct WorkingSet {
    std::uint64_t block_bytes = 0;
    std::vector<PageRun> runs; // no page twice
    std::uint64_t pages() const;
};

std::vector<std::byte> encode(const WorkingSet &set);
// No record for a block of that size is larger.
std::size_t working_set_bytes_most(std::uint64_t block_bytes);
// block_bytes: of the block it is for. Fails with a sentence about what is wrong with the bytes; nothing is
// returned of a set that is damaged in part.
Result<WorkingSet> decode_working_set(std::span<const std::byte> bytes, std::uint64_t block_bytes);

} // namespace tidemark
