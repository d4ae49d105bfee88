// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/sealed_bytes.h"

#include <cerrno>
#include <cstring>
#include <xxhash.h>

namespace tidemark {

namespace {

constexpr std::size_t kChecked = 16, kHeader = 24;

std::uint64_t checksum_of(std::span<const std::byte> head, std::span<const std::byte> content) {
    return XXH3_64bits_withSeed(content.data(), content.size(),
                                XXH3_64bits(head.data(), head.size()));
}

} // namespace

std::vector<std::byte> ByteWriter::sealed(const Seal &seal) const {
    ByteWriter whole;
    for (int i = 0; i < 8; ++i)
        whole.put(static_cast<std::uint8_t>(seal.kind[i]));
    whole.put(seal.version);
    whole.put(static_cast<std::uint32_t>(bytes_.size()));
    whole.put(checksum_of(whole.bytes_, bytes_));
    whole.bytes_.insert(whole.bytes_.end(), bytes_.begin(), bytes_.end());
    return whole.bytes_;
}

Error unusable(const Seal &seal, const std::string &how) {
    return {EINVAL, "this is no usable " + std::string(seal.called) + ": " + how};
}

Result<ByteReader> open_sealed(std::span<const std::byte> bytes, const Seal &seal) {
    const auto refuse = [&seal](const std::string &how) {
        return tl::unexpected<Error>(unusable(seal, how));
    };
    if (bytes.size() < kHeader)
        return refuse("it ends after " + std::to_string(bytes.size()) +
                      " bytes, within its header");
    if (std::memcmp(bytes.data(), seal.kind, 8) != 0)
        return refuse("it does not begin as such files do");
    ByteReader head(bytes.subspan(8, kHeader - 8));
    if (const auto version = head.get<std::uint32_t>(); version != seal.version)
        return refuse("it is of version " + std::to_string(version) + ", and this is for version " +
                      std::to_string(seal.version));
    const auto content = bytes.subspan(kHeader);
    if (const auto size = head.get<std::uint32_t>(); size != content.size())
        return refuse("it should have " + std::to_string(kHeader + std::uint64_t{size}) +
                      " bytes, and has " + std::to_string(bytes.size()));
    if (head.get<std::uint64_t>() != checksum_of(bytes.first(kChecked), content))
        return refuse("its checksum does not match its bytes");
    return ByteReader(content);
}

} // namespace tidemark
