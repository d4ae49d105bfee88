// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which accesses are taken for a stream, and how far ahead of it is worth reading.
#include "engine/streams.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <random>

using namespace tidemark;

namespace {

// A fault at page, whose whole window is then in DRAM. Returns the window.
Ahead fault(Streams &streams, std::uint32_t page, std::uint32_t most = Streams::kMost) {
    const Ahead ahead = streams.look(PageIndex{page}, most);
    streams.served(PageIndex{page}, ahead.pages);
    return ahead;
}

} // namespace

TEST_CASE("a walk in order makes the window grow fourfold up to its bound") {
    Streams streams;
    std::uint32_t page = 1000;
    std::uint32_t before = 0;
    for (const std::uint32_t pages : {1u, 1u, 8u, 32u, 64u, 64u}) {
        const Ahead ahead = fault(streams, page);
        CHECK(ahead.pages == pages);
        CHECK(ahead.in_order());
        CHECK(ahead.pages >= before);
        before = ahead.pages;
        page += ahead.pages;
    }
    CHECK(streams.look(PageIndex{page}, 16).pages == 16);
}

TEST_CASE("two equal strides in a row are a stream, up or down") {
    const int stride = GENERATE(16, 3, -16, -1, 64);
    Streams streams;
    std::int64_t page = 50000;
    for (int i = 0; i < 3; ++i, page += stride)
        CHECK_FALSE(fault(streams, static_cast<std::uint32_t>(page)).walks());
    std::uint32_t before = 1;
    for (int i = 0; i < 4; ++i) {
        const Ahead ahead = fault(streams, static_cast<std::uint32_t>(page), 32);
        REQUIRE(ahead.stride == stride);
        CHECK(ahead.pages >= std::min(32u, before * 4));
        before = ahead.pages;
        page += std::int64_t{stride} * ahead.pages;
    }
    CHECK(before == 32);
}

TEST_CASE("a stride goes on over pages that raised no fault") {
    Streams streams;
    for (const std::uint32_t page : {100u, 116u, 132u})
        fault(streams, page);
    CHECK(streams.look(PageIndex{148}, 64).stride == 16);
    CHECK(streams.look(PageIndex{148 + 16}, 64).stride == 16);
    CHECK_FALSE(streams.look(PageIndex{149}, 64).walks());
    CHECK_FALSE(streams.look(PageIndex{148 + 3 * 16}, 64).walks()); // beyond the window
}

TEST_CASE("interleaved walks are told apart") {
    Streams streams;
    std::array<std::int64_t, 3> page{1000, 200000, 90000};
    const std::array<int, 3> stride{1, 16, -5};
    for (int round = 0; round < 6; ++round)
        for (std::size_t walk = 0; walk < 3; ++walk) {
            const Ahead ahead = fault(streams, static_cast<std::uint32_t>(page[walk]));
            if (round >= 3) {
                CHECK(ahead.walks());
                CHECK(ahead.stride == stride[walk]);
            }
            page[walk] += std::int64_t{ahead.stride} * ahead.pages;
            if (!ahead.walks() && stride[walk] != 1)
                page[walk] += stride[walk] - 1;
        }
}

TEST_CASE("walks are counted while they go on") {
    Streams streams;
    CHECK(streams.walks() == 0);
    constexpr std::size_t kWalks = 4;
    std::array<std::uint32_t, kWalks> page{0, 100000, 200000, 300000};
    const auto step = [&](std::size_t walk, std::uint32_t pages) {
        streams.served(PageIndex{page[walk]}, pages);
        page[walk] += pages;
    };
    for (const std::uint32_t pages : {1u, 1u, 8u, 32u})
        for (std::size_t walk = 0; walk < kWalks; ++walk)
            step(walk, pages);
    CHECK(streams.walks() == kWalks);
    for (int round = 0; round < 8; ++round) // each a region at a time
        for (std::size_t walk = 0; walk < kWalks; ++walk) {
            step(walk, kRegionPages);
            CHECK(streams.walks() == kWalks);
        }
    for (std::uint64_t gone = 0; gone <= Streams::kRecent; gone += kRegionPages)
        step(2, kRegionPages); // alone: the others have ended
    CHECK(streams.walks() == 1);
    for (std::uint32_t at = 400000; at < 400000 + 6 * 16; at += 16)
        fault(streams, at); // strides are no walk that regions are read for
    CHECK(streams.walks() == 1);
}

TEST_CASE("random accesses are hardly ever taken for a walk") {
    const auto seed = GENERATE(range(1u, 6u));
    std::mt19937 random(seed);
    Streams streams;
    int walks = 0;
    for (int i = 0; i < 20000; ++i)
        walks += fault(streams, random() % 262144).walks() ? 1 : 0;
    CHECK(walks < 40);
}

TEST_CASE("the ends of memory are no trap") {
    Streams streams;
    for (const std::uint32_t page : {32u, 16u, 0u, UINT32_MAX - 1, 0u, 16u})
        fault(streams, page);
    CHECK(fault(streams, 32).pages >= 1);
}

TEST_CASE("what a walk in order has gone over is known, and what lies elsewhere is not") {
    Streams streams;
    for (const std::uint32_t page : {100u, 101u, 102u})
        fault(streams, page);
    CHECK(streams.gone_over(PageIndex{102}) == 0);
    CHECK(streams.gone_over(PageIndex{103}) == 7); // 102 came with 8
    CHECK(streams.gone_over(PageIndex{109}) == 1);
    CHECK(streams.gone_over(PageIndex{110}) == 0);
    CHECK(streams.look(PageIndex{110}, 64).pages == 32);
    Streams strided;
    for (const std::uint32_t page : {100u, 116u, 132u, 148u})
        fault(strided, page);
    CHECK(strided.gone_over(PageIndex{150}) == 0);
}
