// SPDX-License-Identifier: GPL-2.0-or-later
//
// Temperatures of pages as bytes: what is written is read back, what is damaged is refused whole; and where the
// pages go by them.
#include "base/little_endian.h"
#include "migrate/landing.h"
#include "migrate/temperature.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <random>
#include <xxhash.h>

using namespace tidemark;
using Catch::Matchers::ContainsSubstring;

namespace {

// Runs of all lengths around those where a run takes a byte more.
std::vector<std::uint8_t> sample() {
    std::vector<std::uint8_t> levels;
    std::uint8_t level = 0;
    for (const std::size_t run : {1u, 7u, 8u, 9u, 1023u, 1024u, 1025u, 140000u, 1u})
        levels.insert(levels.end(), run, level++);
    return levels;
}

void require_refused(std::span<const std::byte> bytes, const char *why, std::uint32_t pages) {
    const auto decoded = decode_temperatures(bytes, pages);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == EINVAL);
    CHECK_THAT(decoded.error().sentence, ContainsSubstring(why));
}

std::uint32_t pages_of(const std::vector<std::uint8_t> &levels) {
    return static_cast<std::uint32_t>(levels.size());
}

} // namespace

TEST_CASE("temperatures are read back as they were, within the bound") {
    std::mt19937 random(1);
    std::vector<std::uint8_t> noise(5000);
    for (std::uint8_t &level : noise)
        level = static_cast<std::uint8_t>(random() % 16);
    const std::vector<std::uint8_t> even(1 << 20, temperature::hottest);
    for (const auto &levels : {sample(), noise, even, std::vector<std::uint8_t>(1, 15)}) {
        const auto bytes = encode_temperatures(levels);
        CHECK(bytes.size() <= temperature_bytes_most(bytes_of(levels.size())));
        const auto decoded = decode_temperatures(bytes, pages_of(levels));
        REQUIRE(decoded);
        CHECK(*decoded == levels);
    }
    CHECK(encode_temperatures(even).size() < 40);
}

TEST_CASE("temperatures that were cut short or changed are refused") {
    const auto levels = sample();
    const auto bytes = encode_temperatures(levels);
    for (std::size_t length = 0; length < bytes.size(); ++length)
        CHECK_FALSE(decode_temperatures(std::span(bytes).first(length), pages_of(levels)));
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        auto flipped = bytes;
        flipped[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        CHECK_FALSE(decode_temperatures(flipped, pages_of(levels)));
    }
    require_refused(bytes, "this one has 8192", 2);
    require_refused(std::span(bytes).first(20), "within their header", pages_of(levels));
}

TEST_CASE("runs that do not make up the block are refused, whatever the checksum") {
    // The runs of one block behind the header of another, sealed anew.
    const auto sealed = [](std::uint32_t header_pages, const std::vector<std::byte> &runs) {
        auto bytes = encode_temperatures(std::vector<std::uint8_t>(header_pages, 1));
        bytes.resize(32);
        bytes.insert(bytes.end(), runs.begin(), runs.end());
        put_word(&bytes[24], XXH3_64bits_withSeed(bytes.data() + 32, bytes.size() - 32,
                                                  XXH3_64bits(bytes.data(), 24)));
        return bytes;
    };
    constexpr std::byte three_pages{2 << 4 | 1}, unfinished{0x80};
    require_refused(sealed(2, {three_pages}), "beyond the block", 2);
    require_refused(sealed(4, {three_pages}), "before the block does", 4);
    require_refused(sealed(4, {}), "before the block does", 4);
    require_refused(sealed(3, {three_pages, three_pages}), "beyond the block", 3);
    require_refused(sealed(3, {unfinished}), "no end", 3);
    require_refused(sealed(3, std::vector<std::byte>(9, unfinished)), "no end", 3);
    CHECK(decode_temperatures(sealed(3, {three_pages}), 3));
}

TEST_CASE("the warmest pages that fit go to DRAM, cold ones to a tier") {
    std::vector<std::uint8_t> levels(10000, temperature::none);
    const auto put = [&levels](std::size_t first, std::size_t count, std::uint8_t level) {
        std::fill_n(levels.begin() + static_cast<std::ptrdiff_t>(first), count, level);
    };
    put(0, 1000, temperature::hottest);
    put(1000, 1000, temperature::coolest);
    put(2000, 3000, temperature::cold);
    put(5000, 3000, temperature::dense);
    put(9000, 10, temperature::probation);
    const Landing landing(levels, 2000);       // a quarter of it is room for what passes through
    CHECK(landing.count(Warmth::hot) == 1406); // 15/16
    CHECK(landing.warmth(PageIndex{999}) == Warmth::hot);
    CHECK(landing.warmth(PageIndex{1405}) == Warmth::hot);
    CHECK(landing.warmth(PageIndex{1406}) == Warmth::warm); // 1/16
    CHECK(landing.warmth(PageIndex{1498}) == Warmth::warm);
    CHECK(landing.warmth(PageIndex{1499}) == Warmth::cold);
    CHECK(landing.warmth(PageIndex{2000}) == Warmth::cold);
    CHECK(landing.warmth(PageIndex{5000}) == Warmth::dense);
    CHECK(landing.warmth(PageIndex{8500}) == Warmth::warm); // new
    CHECK(landing.warmth(PageIndex{9000}) == Warmth::cold);
    const auto groups = landing.hot_groups();
    REQUIRE(groups.size() == 2);
    CHECK(groups[0].level == temperature::hottest);
    REQUIRE(groups[0].runs.size() == 1);
    CHECK(groups[0].runs[0] == PageRun{PageIndex{0}, 1000});
    CHECK(groups[1].runs[0] == PageRun{PageIndex{1000}, 406});
}

TEST_CASE("what the guest used while it moved is to be in DRAM, too") {
    std::vector<std::uint8_t> levels(100, temperature::cold);
    levels[7] = temperature::coolest;
    Landing landing(levels, 10000);
    std::vector<std::uint8_t> warmed(100, temperature::none);
    warmed[7] = warmed[20] = warmed[21] = temperature::hottest;
    warmed[30] = temperature::probation; // in use or not, nobody knows
    landing.warm({});
    CHECK(landing.count(Warmth::hot) == 1);
    landing.warm(warmed);
    CHECK(landing.count(Warmth::hot) == 3);
    CHECK(landing.count(Warmth::cold) == 97);
    const auto groups = landing.hot_groups();
    REQUIRE(groups.size() == 2);
    CHECK(groups[0].level == temperature::hottest);
    CHECK(groups[0].runs == std::vector<PageRun>{{PageIndex{20}, 2}});
    CHECK(groups[1].runs == std::vector<PageRun>{{PageIndex{7}, 1}}); // as it was
}

TEST_CASE("where there is DRAM for all that was in DRAM, all of it goes there") {
    std::vector<std::uint8_t> levels(100, temperature::probation);
    levels[50] = temperature::cold;
    levels[51] = temperature::coolest;
    const Landing landing(levels, 10000);
    CHECK(landing.count(Warmth::hot) == 1);
    CHECK(landing.count(Warmth::warm) == 98);
    CHECK(landing.count(Warmth::cold) == 1); // that was right where it came from
    CHECK(landing.hot_groups().front().level == temperature::coolest);
}
