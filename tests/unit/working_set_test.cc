// SPDX-License-Identifier: GPL-2.0-or-later
//
// The record of a working set: what is written is read back, and what is damaged is refused whole.
#include "predict/working_set.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace tidemark;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::uint64_t kBlock = bytes_of(1000);

WorkingSet sample() {
    return {kBlock, {{PageIndex{900}, 100}, {PageIndex{0}, 1}, {PageIndex{5}, 7}}};
}

void require_refused(std::span<const std::byte> bytes, const char *why,
                     std::uint64_t block = kBlock) {
    const auto decoded = decode_working_set(bytes, block);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == EINVAL);
    CHECK_THAT(decoded.error().sentence, ContainsSubstring(why));
}

} // namespace

TEST_CASE("a record is read back as it was") {
    const auto decoded = decode_working_set(encode(sample()), kBlock);
    REQUIRE(decoded);
    CHECK(decoded->pages() == 108);
    REQUIRE(decoded->runs.size() == 3);
    CHECK(decoded->runs[0].first == PageIndex{900});
    CHECK(decoded->runs[2].count == 7);
    const auto empty = decode_working_set(encode({kBlock, {}}), kBlock);
    REQUIRE(empty);
    CHECK(empty->runs.empty());
}

TEST_CASE("a record cut short anywhere is refused") {
    const auto bytes = encode(sample());
    for (std::size_t length = 0; length < bytes.size(); ++length)
        CHECK_FALSE(decode_working_set(std::span(bytes).first(length), kBlock));
    require_refused(std::span(bytes).first(10), "within its header");
    require_refused(std::span(bytes).first(40), "it should have 56");
}

TEST_CASE("one flipped bit anywhere is seen") {
    const auto bytes = encode(sample());
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        auto flipped = bytes;
        flipped[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
        CHECK_FALSE(decode_working_set(flipped, kBlock));
    }
}

TEST_CASE("a record for another block or of another version is refused") {
    require_refused(encode(sample()), "recorded from a block of 4096000 bytes", bytes_of(999));
    auto bytes = encode(sample());
    bytes[8] = std::byte{2};
    require_refused(bytes, "of version 2");
}

TEST_CASE("runs that lie outside or overlap are refused, whatever the checksum says") {
    require_refused(encode({kBlock, {{PageIndex{990}, 11}}}), "run 0 lies outside");
    require_refused(encode({kBlock, {{PageIndex{1}, 1}, {PageIndex{5}, 0}}}), "run 1 lies outside");
    require_refused(encode({kBlock, {{PageIndex{4}, 4}, {PageIndex{7}, 2}}}),
                    "for the second time");
}
