// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/temperature.h"

#include "base/little_endian.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <xxhash.h>

namespace tidemark {

namespace {

constexpr char kMagic[8] = {'T', 'M', 'T', 'E', 'M', 'P', '\r', '\n'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksumAt = 24, kRunsAt = 32;
constexpr unsigned kGroup = 7, kMore = 0x80;
constexpr unsigned kShiftMost =
    35; // of the last group of a run: 32 bits of pages and 4 of temperature

std::uint64_t checksum_of(std::span<const std::byte> bytes) {
    const std::uint64_t head = XXH3_64bits(bytes.data(), kChecksumAt);
    return XXH3_64bits_withSeed(bytes.data() + kRunsAt, bytes.size() - kRunsAt, head);
}

Result<std::vector<std::uint8_t>> damaged(const std::string &how) {
    return fail(EINVAL, "these are no usable temperatures of a guest's memory: " + how);
}

void put_run(std::vector<std::byte> &bytes, std::uint64_t pages, std::uint8_t level) {
    std::uint64_t value = ((pages - 1) << 4) | level;
    for (; value >= kMore; value >>= kGroup)
        bytes.push_back(static_cast<std::byte>(value | kMore));
    bytes.push_back(static_cast<std::byte>(value));
}

// The number at the front of bytes, which it is taken from; nullopt if it has no end or is too large.
std::optional<std::uint64_t> take_number(std::span<const std::byte> &bytes) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift <= kShiftMost && !bytes.empty(); shift += kGroup) {
        const auto byte = std::to_integer<std::uint64_t>(bytes.front());
        bytes = bytes.subspan(1);
        value |= (byte & (kMore - 1)) << shift;
        if ((byte & kMore) == 0)
            return value;
    }
    return std::nullopt;
}

} // namespace

std::vector<std::byte> encode_temperatures(std::span<const std::uint8_t> levels) {
    std::vector<std::byte> bytes(kRunsAt);
    std::memcpy(bytes.data(), kMagic, sizeof(kMagic));
    put_word(&bytes[8], kVersion);
    put_word(&bytes[12], static_cast<std::uint32_t>(kPageSize));
    put_word(&bytes[16], bytes_of(levels.size()));
    for (std::size_t first = 0; first < levels.size();) {
        std::size_t end = first + 1;
        while (end < levels.size() && levels[end] == levels[first])
            ++end;
        put_run(bytes, end - first, levels[first]);
        first = end;
    }
    put_word(&bytes[kChecksumAt], checksum_of(bytes));
    return bytes;
}

std::size_t temperature_bytes_most(std::uint64_t block_bytes) {
    return kRunsAt + block_bytes / kPageSize;
}

Result<std::vector<std::uint8_t>> decode_temperatures(std::span<const std::byte> bytes,
                                                      std::uint32_t pages) {
    if (bytes.size() < kRunsAt)
        return damaged("they end after " + std::to_string(bytes.size()) +
                       " bytes, within their header");
    if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0)
        return damaged("they do not begin as such do");
    if (const auto version = get_word<std::uint32_t>(&bytes[8]); version != kVersion)
        return damaged("they are of version " + std::to_string(version) +
                       ", and this is for version " + std::to_string(kVersion));
    if (const auto page = get_word<std::uint32_t>(&bytes[12]); page != kPageSize)
        return damaged("they are of pages of " + std::to_string(page) + " bytes, not 4096");
    if (const auto size = get_word<std::uint64_t>(&bytes[16]); size != bytes_of(pages))
        return damaged("they are of a block of " + std::to_string(size) +
                       " bytes, and this one has " + std::to_string(bytes_of(pages)));
    if (get_word<std::uint64_t>(&bytes[kChecksumAt]) != checksum_of(bytes))
        return damaged("their checksum does not match their bytes");
    std::vector<std::uint8_t> levels;
    levels.reserve(pages);
    for (auto rest = bytes.subspan(kRunsAt); !rest.empty();) {
        const auto run = take_number(rest);
        if (!run)
            return damaged("a run has no end");
        const std::uint64_t count = (*run >> 4) + 1;
        if (count > pages - levels.size())
            return damaged("a run goes beyond the block");
        levels.insert(levels.end(), count, static_cast<std::uint8_t>(*run & temperature::hottest));
    }
    if (levels.size() != pages)
        return damaged("they end before the block does");
    return levels;
}

} // namespace tidemark
