// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/size.h"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>

using namespace tidemark::domain;

TEST_CASE("sizes are bytes, or powers of 1024") {
    const std::pair<const char *, std::uint64_t> good[] = {
        {"0", 0},
        {"4096", 4096},
        {"1B", 1},
        {"1K", 1024},
        {"3KiB", 3072},
        {"512MiB", 512ULL << 20},
        {"1M", 1ULL << 20},
        {"1G", 1ULL << 30},
        {"4GiB", 4ULL << 30},
        {"2T", 2ULL << 40},
        {"16TiB", 16ULL << 40},
        {"1048576TiB", kSizeMost},
        {"1152921504606846976", kSizeMost},
    };
    for (const auto &[text, bytes] : good) {
        CAPTURE(text);
        const auto size = parse_size(text);
        REQUIRE(size);
        CHECK(*size == bytes);
    }
}

TEST_CASE("what is no size says what one is") {
    for (const char *text : {"", "G", "-1", "+1", " 1", "1 ", "1 GiB", "1.5G", "1GB", "1KB", "4gib",
                             "0x10", "1e3", "25%", "GiB1", "1GiBB", "\xff", "12,5"}) {
        CAPTURE(text);
        const auto size = parse_size(text);
        REQUIRE(!size);
        CHECK(size.error().sentence ==
              "is '" + std::string(text) + "'; it must be a size such as 4096, 512MiB or 4GiB");
    }
    for (const char *text : {"1152921504606846977", "1048577TiB", "18446744073709551615T"}) {
        CAPTURE(text);
        const auto size = parse_size(text);
        REQUIRE(!size);
        CHECK(size.error().sentence.ends_with("it must be at most 1048576TiB"));
    }
    CHECK(!parse_size("18446744073709551616"));
    CHECK(!parse_size(std::string_view("1\0", 2)));
}

TEST_CASE("amounts are sizes or 1 to 100 percent") {
    CHECK(*parse_amount("25%") == Amount::percent(25));
    CHECK(*parse_amount("100%") == Amount::percent(100));
    CHECK(*parse_amount("1%") == Amount::percent(1));
    CHECK(*parse_amount("4GiB") == Amount::bytes(4ULL << 30));
    for (const char *text : {"0%", "101%", "%", "-5%", "1.5%", "25 %", "25%%", "", "x"}) {
        CAPTURE(text);
        const auto amount = parse_amount(text);
        REQUIRE(!amount);
        CHECK(amount.error().sentence ==
              "is '" + std::string(text) +
                  "'; it must be 1% to 100%, or a size such as 4096, 512MiB or 4GiB");
    }
}

TEST_CASE("percent of anything neither overflows nor loses much") {
    CHECK(Amount::percent(25).of(4ULL << 30) == 1ULL << 30);
    CHECK(Amount::percent(100).of(kSizeMost) == kSizeMost);
    CHECK(Amount::percent(33).of(99) == 32);
    CHECK(Amount::percent(100).of(UINT64_MAX) == UINT64_MAX);
    CHECK(Amount::bytes(7).of(1) == 7);
}

TEST_CASE("amounts are written as they are read") {
    for (const char *text : {"25%", "4GiB", "1536MiB", "5", "3KiB", "16TiB", "0"}) {
        CAPTURE(text);
        CHECK(parse_amount(text)->text() == text);
    }
    CHECK(parse_amount("1024MiB")->text() == "1GiB");
    CHECK(size_text(4ULL << 30) == "4 GiB");
    CHECK(size_text(1536ULL << 20) == "1536 MiB");
    CHECK(size_text(5) == "5 bytes");
    CHECK(size_text(0) == "0 bytes");
}

TEST_CASE("long values are cut in sentences, between characters") {
    std::string text(59, 'x');
    for (int i = 0; i < 100; ++i)
        text += "\xc3\xa4";
    const std::string sentence = parse_size(text).error().sentence;
    CHECK(sentence.starts_with("is '" + std::string(59, 'x') + "...'"));
}
