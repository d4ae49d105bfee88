// SPDX-License-Identifier: GPL-2.0-or-later
//
// Page-aligned memory for tests, and patterns that tell which page and round they belong to.
#pragma once

#include "base/units.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

namespace tidemark::test {

class PageBuffer {
  public:
    explicit PageBuffer(std::uint32_t pages)
        : pages_(pages),
          bytes_(static_cast<std::byte *>(std::aligned_alloc(kPageSize, bytes_of(pages)))) {
        std::memset(bytes_.get(), 0, bytes_of(pages));
    }
    std::byte *page(std::uint32_t index) { return bytes_.get() + bytes_of(index); }
    std::uint32_t pages() const { return pages_; }
    std::size_t size() const { return bytes_of(pages_); }

  private:
    struct Free {
        void operator()(void *memory) const { std::free(memory); }
    };
    std::uint32_t pages_;
    std::unique_ptr<std::byte, Free> bytes_;
};

// Every word differs from page to page and from salt to salt.
inline void fill_pattern(std::byte *page, std::uint64_t salt) {
    for (std::size_t at = 0; at < kPageSize; at += sizeof(std::uint64_t)) {
        const std::uint64_t word = (salt + 1) * 0x9E3779B97F4A7C15ULL + at;
        std::memcpy(page + at, &word, sizeof(word));
    }
}

inline bool has_pattern(const std::byte *page, std::uint64_t salt) {
    for (std::size_t at = 0; at < kPageSize; at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, page + at, sizeof(word));
        if (word != (salt + 1) * 0x9E3779B97F4A7C15ULL + at)
            return false;
    }
    return true;
}

} // namespace tidemark::test
