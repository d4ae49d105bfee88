// SPDX-License-Identifier: GPL-2.0-or-later
#include "page_trace.h"

#include "base/little_endian.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <xxhash.h>
#include <zstd.h>

namespace tidemark::trace {

namespace {

constexpr char kMagic[8] = {'T', 'M', 'T', 'R', 'A', 'C', 'E', '\n'};
constexpr char kRawMagic[4] = {'T', 'M', 'R', 'W'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksumAt = 40, kNameAt = 48, kBodyAt = kNameAt + kNameBytes;
constexpr int kLevel = 19; // traces are written once
constexpr std::uint32_t kPagesMost = 1u << 30;

void put_varint(std::vector<std::byte> &out, std::uint64_t value) {
    for (; value >= 128; value >>= 7)
        out.push_back(static_cast<std::byte>(value | 128));
    out.push_back(static_cast<std::byte>(value));
}

// False at the end of the bytes, or if the number has more than 35 bits.
bool get_varint(std::span<const std::byte> bytes, std::size_t &at, std::uint64_t &value) {
    value = 0;
    for (unsigned shift = 0; shift <= 28 && at < bytes.size(); shift += 7) {
        const auto byte = std::to_integer<std::uint64_t>(bytes[at++]);
        value |= (byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

std::uint64_t checksum_of(std::span<const std::byte> bytes) {
    const std::uint64_t head = XXH3_64bits(bytes.data(), kChecksumAt);
    return XXH3_64bits_withSeed(bytes.data() + kNameAt, bytes.size() - kNameAt, head);
}

tl::unexpected<Error> damaged(const std::string &how) {
    return fail(EINVAL, "this is no usable page trace: " + how);
}

std::vector<std::byte> body_of(const PageTrace &trace) {
    std::vector<std::byte> body;
    std::int64_t previous = 0;
    std::size_t at = 0;
    for (const std::uint32_t end : trace.window_ends) {
        put_varint(body, end - at);
        for (; at < end; ++at) {
            const std::int64_t delta = std::int64_t{trace.accesses[at].page} - previous;
            const auto zigzag = static_cast<std::uint64_t>(delta < 0 ? -delta * 2 - 1 : delta * 2);
            put_varint(body, zigzag << 1 | (trace.accesses[at].write ? 1 : 0));
            previous = trace.accesses[at].page;
        }
    }
    return body;
}

// Fills in the windows and their accesses.
Result<void> parse_body(std::span<const std::byte> body, std::uint32_t windows,
                        std::uint32_t accesses, PageTrace &trace) {
    std::int64_t page = 0;
    std::size_t at = 0;
    for (std::uint32_t window = 0; window < windows; ++window) {
        std::uint64_t count = 0;
        if (!get_varint(body, at, count) || count > accesses - trace.accesses.size())
            return damaged("window " + std::to_string(window) + " has no sound number of accesses");
        for (; count != 0; --count) {
            std::uint64_t word = 0;
            if (!get_varint(body, at, word))
                return damaged("it ends within window " + std::to_string(window));
            const auto zigzag = static_cast<std::int64_t>(word >> 1);
            page += (zigzag & 1) != 0 ? -((zigzag + 1) / 2) : zigzag / 2;
            if (page < 0 || page >= trace.pages)
                return damaged("window " + std::to_string(window) +
                               " has a page outside the guest's RAM");
            trace.accesses.push_back({static_cast<std::uint32_t>(page), (word & 1) != 0});
        }
        trace.window_ends.push_back(static_cast<std::uint32_t>(trace.accesses.size()));
    }
    if (at != body.size() || trace.accesses.size() != accesses)
        return damaged("its body does not hold what its header says");
    return {};
}

} // namespace

std::vector<std::byte> encode(const PageTrace &trace) {
    const std::vector<std::byte> body = body_of(trace);
    std::vector<std::byte> bytes(kBodyAt + ZSTD_compressBound(body.size()));
    const std::size_t stored = ZSTD_compress(bytes.data() + kBodyAt, bytes.size() - kBodyAt,
                                             body.data(), body.size(), kLevel);
    bytes.resize(kBodyAt + stored); // it fits by the bound
    std::memcpy(bytes.data(), kMagic, sizeof(kMagic));
    put_word(&bytes[8], kVersion);
    put_word(&bytes[12], trace.pages);
    put_word(&bytes[16], trace.window_instructions);
    put_word(&bytes[24], static_cast<std::uint32_t>(trace.window_ends.size()));
    put_word(&bytes[28], static_cast<std::uint32_t>(trace.accesses.size()));
    put_word(&bytes[32], static_cast<std::uint32_t>(body.size()));
    put_word(&bytes[36], static_cast<std::uint32_t>(stored));
    std::memcpy(&bytes[kNameAt], trace.name.data(), std::min(trace.name.size(), kNameBytes - 1));
    put_word(&bytes[kChecksumAt], checksum_of(bytes));
    return bytes;
}

Result<PageTrace> decode(std::span<const std::byte> bytes) {
    if (bytes.size() < kBodyAt)
        return damaged("it ends after " + std::to_string(bytes.size()) +
                       " bytes, within its header");
    if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0)
        return damaged("it does not begin as traces do");
    if (const auto version = get_word<std::uint32_t>(&bytes[8]); version != kVersion)
        return damaged("it is of version " + std::to_string(version) +
                       ", and this is for version " + std::to_string(kVersion));
    const auto stored = get_word<std::uint32_t>(&bytes[36]);
    if (bytes.size() != kBodyAt + std::uint64_t{stored})
        return damaged("it has " + std::to_string(bytes.size()) + " bytes, and should have " +
                       std::to_string(kBodyAt + std::uint64_t{stored}));
    if (get_word<std::uint64_t>(&bytes[kChecksumAt]) != checksum_of(bytes))
        return damaged("its checksum does not match its bytes");

    PageTrace trace;
    trace.pages = get_word<std::uint32_t>(&bytes[12]);
    trace.window_instructions = get_word<std::uint64_t>(&bytes[16]);
    const auto *name = reinterpret_cast<const char *>(&bytes[kNameAt]);
    trace.name.assign(name, strnlen(name, kNameBytes));
    const auto body_bytes = get_word<std::uint32_t>(&bytes[32]);
    if (trace.pages == 0 || trace.pages > kPagesMost || trace.window_instructions == 0 ||
        body_bytes > kBodyBytesMost)
        return damaged("its header holds a size that can't be");
    std::vector<std::byte> body(body_bytes);
    const std::size_t got =
        ZSTD_decompress(body.data(), body.size(), bytes.data() + kBodyAt, stored);
    if (ZSTD_isError(got) != 0 || got != body.size())
        return damaged("its body can't be decompressed");
    if (auto parsed = parse_body(body, get_word<std::uint32_t>(&bytes[24]),
                                 get_word<std::uint32_t>(&bytes[28]), trace);
        !parsed)
        return tl::unexpected<Error>(parsed.error());
    return trace;
}

Result<PageTrace> decode_raw(std::span<const std::byte> bytes, const std::string &name) {
    constexpr std::size_t kHeader = 16, kWord = 4;
    if (bytes.size() < kHeader || bytes.size() % kWord != 0 ||
        std::memcmp(bytes.data(), kRawMagic, sizeof(kRawMagic)) != 0)
        return fail(EINVAL, "this is not what the recording plugin writes");
    if (name.empty() || name.size() >= kNameBytes)
        return fail(EINVAL, "a trace's name has 1 to " + std::to_string(kNameBytes - 1) +
                                " characters, and '" + name + "' has not");
    PageTrace trace;
    trace.name = name;
    trace.pages = get_word<std::uint32_t>(&bytes[4]);
    trace.window_instructions = get_word<std::uint64_t>(&bytes[8]);
    for (std::size_t at = kHeader; at < bytes.size(); at += kWord) {
        const auto word = get_word<std::uint32_t>(&bytes[at]);
        if (word == UINT32_MAX)
            trace.window_ends.push_back(static_cast<std::uint32_t>(trace.accesses.size()));
        else if (word >> 1 < trace.pages)
            trace.accesses.push_back({word >> 1, (word & 1) != 0});
        else
            return fail(EINVAL, "the recording holds a page outside the guest's RAM");
    }
    if (trace.accesses.empty() || trace.window_ends.empty() ||
        trace.window_ends.back() != trace.accesses.size())
        return fail(EINVAL, "the recording is empty, or ends within a window");
    return trace;
}

} // namespace tidemark::trace
