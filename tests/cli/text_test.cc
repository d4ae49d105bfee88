// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/text.h"

#include <catch2/catch_test_macros.hpp>

using namespace tidemark::cli;

TEST_CASE("sizes have at most three digits and a unit") {
    CHECK(bytes_text(0) == "0 B");
    CHECK(bytes_text(999) == "999 B");
    CHECK(bytes_text(1000) == "1.0 KiB");
    CHECK(bytes_text(1536) == "1.5 KiB");
    CHECK(bytes_text(10.0 * (1 << 20)) == "10 MiB");
    CHECK(bytes_text(1023.9 * (1 << 20)) == "1.0 GiB");
    CHECK(bytes_text(4096.0 * (1 << 30)) == "4 TiB");
}

TEST_CASE("times and counts have steps of a thousand") {
    CHECK(nanoseconds_text(850) == "850 ns");
    CHECK(nanoseconds_text(12300) == "12 us");
    CHECK(nanoseconds_text(4.1e6) == "4.1 ms");
    CHECK(nanoseconds_text(2e9) == "2 s");
    CHECK(count_text(0) == "0");
    CHECK(count_text(999) == "999");
    CHECK(count_text(12300) == "12k");
    CHECK(percent_text(0.256) == "26 %");
}

TEST_CASE("a range is two sizes") {
    const auto range = parse_range("1GiB:64MiB");
    REQUIRE(range);
    CHECK(range->offset == std::uint64_t{1} << 30);
    CHECK(range->length == std::uint64_t{64} << 20);
    for (const char *wrong : {"", ":", "1GiB", "1GiB:", "x:1", "1:2:3", "-1:5"}) {
        INFO(wrong);
        CHECK_FALSE(parse_range(wrong));
    }
}

TEST_CASE("what others wrote does not steer the terminal") {
    CHECK(clipped("a\x1b[2Jb\n\x7f", 80) == "a?[2Jb??");
    // C1 control characters, too: 0x9b alone is ESC [.
    CHECK(clipped("a\xc2\x9b"
                  "2Jb",
                  80) == "a?2Jb");
}

TEST_CASE("text is cut at characters, not at bytes") {
    CHECK(columns_of("häuser") == 6);
    CHECK(clipped("häuser", 6) == "häuser");
    CHECK(clipped("häuser", 3) == "hä~");
    CHECK(clipped("häuser", 0).empty());
    CHECK(padded("hä", 4) == "hä  ");
    CHECK(padded("hä", 4, true) == "  hä");
}

TEST_CASE("a table's columns are as wide as their widest cell") {
    Table table({"NAME", ">SIZE", "END"});
    CHECK(table.empty());
    table.add({"a", "1", "x"});
    table.add({"longer", "1000", ""});
    table.add({"few"});
    const std::vector<std::string> lines = table.lines();
    REQUIRE(lines.size() == 4);
    CHECK(lines[0] == "NAME    SIZE  END");
    CHECK(lines[1] == "a          1  x");
    CHECK(lines[2] == "longer  1000");
    CHECK(lines[3] == "few");
}
