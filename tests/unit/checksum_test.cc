// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/units.h"
#include "store/tier.h"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <set>

using namespace tidemark;

namespace {
struct alignas(kPageSize) Page {
    std::array<std::byte, kPageSize> bytes{};
};
} // namespace

TEST_CASE("a page is zero only if every byte is") {
    Page page;
    REQUIRE(page_is_zero(page.bytes.data()));
    for (std::size_t i = 0; i < kPageSize; ++i) {
        page.bytes[i] = std::byte{0x80};
        CAPTURE(i);
        REQUIRE_FALSE(page_is_zero(page.bytes.data()));
        page.bytes[i] = std::byte{0};
    }
    // Equal to itself shifted, but not zero.
    page.bytes.fill(std::byte{7});
    CHECK_FALSE(page_is_zero(page.bytes.data()));
}

TEST_CASE("one flipped bit changes the checksum") {
    Page page;
    std::set<std::uint64_t> seen{page_checksum(page.bytes.data())};
    for (std::size_t i = 0; i < kPageSize; i += 13) {
        page.bytes[i] ^= std::byte{1};
        REQUIRE(seen.insert(page_checksum(page.bytes.data())).second);
        page.bytes[i] ^= std::byte{1};
    }
    CHECK_FALSE(seen.contains(0));
}

TEST_CASE("the checksum is XXH3-64, so that a stored page means the same to every build") {
    const Page page;
    // xxhsum -H3 of 4096 zero bytes.
    CHECK(page_checksum(page.bytes.data()) == 0x93d76fe148c689ba);
}
