// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a page holds: a function of its number and its version, so that every byte can be checked without
// keeping a copy. Version 0 is a page never written. Otherwise word w is base + w * step, but for one word,
// the stamp, whose place and value change with each version: a new version costs a guest two words, and a
// page that came back with old content, or another page's, is found out.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::perf {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kPageWords = kPageBytes / 8;

// A bijection that changes about half of the bits when one changes (the finalizer of splitmix64).
constexpr std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

struct Stamp {
    std::size_t place;
    std::uint64_t value;
};

constexpr std::uint64_t word_step = 0xd6e8feb86659fd93ull;

constexpr std::uint64_t base_of(std::size_t page) {
    return mix(page) | 1;
}

constexpr std::uint64_t word_of(std::size_t page, std::size_t word) {
    return base_of(page) + word * word_step;
}

constexpr Stamp stamp_of(std::size_t page, std::uint32_t version) {
    const std::uint64_t value = mix(base_of(page) ^ (std::uint64_t{version} << 20));
    return {static_cast<std::size_t>(value % kPageWords), value};
}

// The word an access looks at first: the stamp's.
inline bool check_stamp(const std::uint64_t *words, std::size_t page, std::uint32_t version) {
    const Stamp stamp = stamp_of(page, version);
    return words[stamp.place] == (version == 0 ? 0 : stamp.value);
}

// Makes a page of version n one of n + 1 (n >= 1).
inline void write_next(std::uint64_t *words, std::size_t page, std::uint32_t version) {
    const Stamp before = stamp_of(page, version);
    const Stamp after = stamp_of(page, version + 1);
    words[before.place] = word_of(page, before.place);
    words[after.place] = after.value;
}

inline void write_first(std::uint64_t *words, std::size_t page) {
    const std::uint64_t base = base_of(page);
    for (std::size_t w = 0; w < kPageWords; ++w)
        words[w] = base + w * word_step;
    const Stamp stamp = stamp_of(page, 1);
    words[stamp.place] = stamp.value;
}

// All 4096 bytes.
inline bool check_page(const std::uint64_t *words, std::size_t page, std::uint32_t version) {
    std::uint64_t differs = 0;
    if (version == 0) {
        for (std::size_t w = 0; w < kPageWords; ++w)
            differs |= words[w];
        return differs == 0;
    }
    const std::uint64_t base = base_of(page);
    const Stamp stamp = stamp_of(page, version);
    // The sum of differences without a branch, so that it costs no more than reading the page; the one
    // difference there must be is known.
    std::uint64_t places = 0;
    for (std::size_t w = 0; w < kPageWords; ++w) {
        const bool differs_here = words[w] != base + w * word_step;
        places += differs_here ? 1 : 0;
    }
    return places == 1 && words[stamp.place] == stamp.value &&
           words[stamp.place] != word_of(page, stamp.place);
}

} // namespace tidemark::perf
