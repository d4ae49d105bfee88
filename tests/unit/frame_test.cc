// SPDX-License-Identifier: GPL-2.0-or-later
//
// Frames: what is in them when.
#include "support/page_buffer.h"
#include "sys/frame.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <sys/mman.h>
#include <vector>

using namespace tidemark;
using namespace tidemark::test;

namespace {

std::size_t present_pages(Frame &frame) {
    std::vector<unsigned char> in_core(kFramePages);
    REQUIRE(mincore(frame.data(), bytes_of(kFramePages), in_core.data()) == 0);
    return static_cast<std::size_t>(std::count_if(
        in_core.begin(), in_core.end(), [](unsigned char page) { return (page & 1) != 0; }));
}

bool zero_page(const std::byte *page) {
    return std::all_of(page, page + kPageSize, [](std::byte b) { return b == std::byte{0}; });
}

} // namespace

TEST_CASE("a frame is aligned and takes no memory until it is filled") {
    auto frame = Frame::map();
    REQUIRE(frame);
    CHECK(reinterpret_cast<std::uintptr_t>((*frame)->data()) % bytes_of(kFramePages) == 0);
    CHECK(present_pages(**frame) == 0);
    REQUIRE((*frame)->fill() == 0);
    CHECK(present_pages(**frame) == kFramePages);
    for (std::uint32_t i = 0; i < kFramePages; ++i)
        REQUIRE(zero_page((*frame)->data() + bytes_of(i)));
}

TEST_CASE("filling again keeps what is there and zeroes what is not") {
    auto frame = Frame::map();
    REQUIRE(frame);
    REQUIRE((*frame)->fill() == 0);
    for (std::uint32_t i = 0; i < kFramePages; ++i)
        fill_pattern((*frame)->data() + bytes_of(i), i);
    REQUIRE(madvise((*frame)->data() + bytes_of(7), bytes_of(2), MADV_DONTNEED) == 0);
    REQUIRE((*frame)->fill() == 0);
    CHECK(present_pages(**frame) == kFramePages);
    for (std::uint32_t i = 0; i < kFramePages; ++i) {
        const std::byte *page = (*frame)->data() + bytes_of(i);
        REQUIRE((i == 7 || i == 8 ? zero_page(page) : has_pattern(page, i)));
    }
}

TEST_CASE("a dropped frame is empty and can be filled again") {
    auto frame = Frame::map();
    REQUIRE(frame);
    for (std::uint64_t round = 0; round < 3; ++round) {
        REQUIRE((*frame)->fill() == 0);
        REQUIRE(zero_page((*frame)->data() + bytes_of(100)));
        fill_pattern((*frame)->data() + bytes_of(100), round);
        REQUIRE((*frame)->drop() == 0);
        CHECK(present_pages(**frame) == 0);
    }
}
