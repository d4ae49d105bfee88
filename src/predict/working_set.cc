// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/working_set.h"

#include "base/little_endian.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <xxhash.h>

namespace tidemark {

namespace {

constexpr char kMagic[8] = {'T', 'M', 'W', 'S', 'E', 'T', '\r', '\n'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksumAt = 24, kRunsAt = 32, kRunBytes = 8;

std::uint64_t checksum_of(std::span<const std::byte> bytes) {
    const std::uint64_t head = XXH3_64bits(bytes.data(), kChecksumAt);
    return XXH3_64bits_withSeed(bytes.data() + kRunsAt, bytes.size() - kRunsAt, head);
}

Result<WorkingSet> damaged(const std::string &how) {
    return fail(EINVAL, "this is no usable record of a working set: " + how);
}

} // namespace

std::uint64_t WorkingSet::pages() const {
    std::uint64_t sum = 0;
    for (const PageRun run : runs)
        sum += run.count;
    return sum;
}

std::vector<std::byte> encode(const WorkingSet &set) {
    std::vector<std::byte> bytes(kRunsAt + set.runs.size() * kRunBytes);
    std::memcpy(bytes.data(), kMagic, sizeof(kMagic));
    put_word(&bytes[8], kVersion);
    put_word(&bytes[12], static_cast<std::uint32_t>(set.runs.size()));
    put_word(&bytes[16], set.block_bytes);
    for (std::size_t i = 0; i < set.runs.size(); ++i) {
        put_word(&bytes[kRunsAt + i * kRunBytes], set.runs[i].first.value);
        put_word(&bytes[kRunsAt + i * kRunBytes + 4], set.runs[i].count);
    }
    put_word(&bytes[kChecksumAt], checksum_of(bytes));
    return bytes;
}

std::size_t working_set_bytes_most(std::uint64_t block_bytes) {
    return kRunsAt + block_bytes / kPageSize * kRunBytes;
}

Result<WorkingSet> decode_working_set(std::span<const std::byte> bytes, std::uint64_t block_bytes) {
    if (bytes.size() < kRunsAt)
        return damaged("it ends after " + std::to_string(bytes.size()) +
                       " bytes, within its header");
    if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0)
        return damaged("it does not begin as such records do");
    if (const auto version = get_word<std::uint32_t>(&bytes[8]); version != kVersion)
        return damaged("it is of version " + std::to_string(version) +
                       ", and this is for version " + std::to_string(kVersion));
    const auto runs = get_word<std::uint32_t>(&bytes[12]);
    if (bytes.size() != kRunsAt + std::uint64_t{runs} * kRunBytes)
        return damaged("it has " + std::to_string(bytes.size()) + " bytes, and with its " +
                       std::to_string(runs) + " runs it should have " +
                       std::to_string(kRunsAt + std::uint64_t{runs} * kRunBytes));
    if (get_word<std::uint64_t>(&bytes[kChecksumAt]) != checksum_of(bytes))
        return damaged("its checksum does not match its bytes");
    WorkingSet set;
    set.block_bytes = get_word<std::uint64_t>(&bytes[16]);
    if (set.block_bytes != block_bytes)
        return damaged("it was recorded from a block of " + std::to_string(set.block_bytes) +
                       " bytes, and this one has " + std::to_string(block_bytes));
    const std::uint64_t pages = block_bytes / kPageSize;
    std::vector<bool> seen(pages);
    for (std::uint32_t i = 0; i < runs; ++i) {
        const PageRun run{PageIndex{get_word<std::uint32_t>(&bytes[kRunsAt + i * kRunBytes])},
                          get_word<std::uint32_t>(&bytes[kRunsAt + i * kRunBytes + 4])};
        if (run.count == 0 || run.first.value >= pages || run.count > pages - run.first.value)
            return damaged("run " + std::to_string(i) + " lies outside the block");
        for (std::uint32_t k = 0; k < run.count; ++k) {
            if (seen[run.first.value + k])
                return damaged("run " + std::to_string(i) + " has a page for the second time");
            seen[run.first.value + k] = true;
        }
        set.runs.push_back(run);
    }
    return set;
}

} // namespace tidemark
