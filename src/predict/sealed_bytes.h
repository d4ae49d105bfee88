// SPDX-License-Identifier: GPL-2.0-or-later
//
// How what a predictor has learnt becomes bytes for a file. Little-endian:
//
//    offset  size  what
//         0     8  which kind of file, e.g. "TMPHASE\n"
//         8     4  version
//        12     4  bytes of content
//        16     8  XXH3-64 of bytes [0, 16) and of the content
//        24        content
#pragma once

#include "base/little_endian.h"
#include "base/result.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace tidemark {

struct Seal {
    char kind[9]; // 8 characters
    std::uint32_t version;
    const char *called; // for sentences: "this is no usable <called>: ..."
};

class ByteWriter {
  public:
    template <typename Value> void put(Value value) {
        if constexpr (std::is_same_v<Value, float>)
            put(std::bit_cast<std::uint32_t>(value));
        else if constexpr (std::is_same_v<Value, double>)
            put(std::bit_cast<std::uint64_t>(value));
        else {
            bytes_.resize(bytes_.size() + sizeof(Value));
            put_word(&bytes_[bytes_.size() - sizeof(Value)], value);
        }
    }
    std::vector<std::byte> sealed(const Seal &seal) const;

  private:
    std::vector<std::byte> bytes_;
};

// Reads what a ByteWriter wrote. Past the end it gives zeros, and complete() says so.
class ByteReader {
  public:
    explicit ByteReader(std::span<const std::byte> content) : rest_(content) {}

    template <typename Value> Value get() {
        if constexpr (std::is_same_v<Value, float>) {
            return std::bit_cast<float>(get<std::uint32_t>());
        } else if constexpr (std::is_same_v<Value, double>) {
            return std::bit_cast<double>(get<std::uint64_t>());
        } else {
            if (rest_.size() < sizeof(Value)) {
                overrun_ = true;
                rest_ = {};
                return 0;
            }
            const Value value = get_word<Value>(rest_.data());
            rest_ = rest_.subspan(sizeof(Value));
            return value;
        }
    }
    std::size_t left() const { return rest_.size(); }
    // All was there, and nothing is left over.
    bool complete() const { return !overrun_ && rest_.empty(); }

  private:
    std::span<const std::byte> rest_;
    bool overrun_ = false;
};

Error unusable(const Seal &seal, const std::string &how);
// The content, if kind, version, length and checksum are right.
Result<ByteReader> open_sealed(std::span<const std::byte> bytes, const Seal &seal);

} // namespace tidemark
