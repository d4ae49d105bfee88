// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/histogram.h"
#include "base/units.h"
#include "base/utf8.h"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cmath>
#include <thread>
#include <type_traits>
#include <vector>

using namespace tidemark;
using namespace std::chrono_literals;

TEST_CASE("pages and slots are different types") {
    STATIC_REQUIRE_FALSE(std::is_convertible_v<PageIndex, Slot>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<PageIndex, std::uint32_t>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::uint32_t, PageIndex>);
}

TEST_CASE("a text is cut between characters") {
    CHECK(cut("abc", 3) == "abc");
    CHECK(cut("abcd", 3) == "abc");
    CHECK(cut("abc", 0).empty());
    const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8C\x8A"; // of 1, 2, 3 and 4 bytes
    for (std::size_t most = 0; most <= text.size(); ++most) {
        CAPTURE(most);
        const std::size_t whole = most < 1 ? 0 : most < 3 ? 1 : most < 6 ? 3 : most < 10 ? 6 : 10;
        CHECK(cut(text, most) == text.substr(0, whole));
    }
    CHECK(cut("\x80\x80\x80", 2).empty()); // no text at all
}

TEST_CASE("byte offsets do not wrap at 4 GiB") {
    CHECK(PageIndex{3u << 20}.byte_offset() == std::uint64_t{3} << 32);
    CHECK(Slot{UINT32_MAX - 1}.byte_offset() == (std::uint64_t{UINT32_MAX} - 1) * 4096);
    CHECK(bytes_of(std::uint64_t{1} << 32) == std::uint64_t{1} << 44);
    CHECK(PageRun{PageIndex{5}, 3}.end() == PageIndex{8});
    CHECK_FALSE(Slot{}.valid());
}

TEST_CASE("each latency falls into the bucket whose bounds hold it") {
    for (std::uint64_t ns = 250; ns < 200'000'000; ns += ns / 97 + 1) {
        const std::size_t bucket = LatencyHistogram::bucket_of(ns);
        // One part in 10000 of slack: the code compares in 16 bits, the bound is a floating point power.
        CAPTURE(ns, bucket);
        REQUIRE(static_cast<double>(ns) >= LatencyHistogram::lower_ns(bucket) * 0.9999);
        REQUIRE(static_cast<double>(ns) < LatencyHistogram::lower_ns(bucket + 1) * 1.0001);
    }
    CHECK(LatencyHistogram::bucket_of(0) == 0);
    CHECK(LatencyHistogram::bucket_of(250) == 0);
    CHECK(LatencyHistogram::bucket_of(500) == 4);
    CHECK(LatencyHistogram::bucket_of(UINT64_MAX) == LatencyHistogram::kBuckets - 1);
}

TEST_CASE("quantiles come out of the bucket that holds them") {
    LatencyHistogram histogram;
    CHECK(LatencyHistogram::quantile_ns(histogram.counts(), 0.5) == 0);
    for (int i = 0; i < 99; ++i)
        histogram.record(10us);
    histogram.record(5ms);
    const auto counts = histogram.counts();
    const double p50 = LatencyHistogram::quantile_ns(counts, 0.50);
    const double p99 = LatencyHistogram::quantile_ns(counts, 0.99);
    const double p999 = LatencyHistogram::quantile_ns(counts, 0.999);
    CHECK((p50 > 10'000 && p50 < 12'000));
    CHECK(p99 == p50);
    CHECK((p999 > 5'000'000 && p999 < 6'000'000));
}

TEST_CASE("no count is lost between threads") {
    LatencyHistogram histogram;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 10'000; ++i)
                histogram.record(std::chrono::nanoseconds(i * 100));
        });
    for (std::thread &thread : threads)
        thread.join();
    std::uint64_t total = 0;
    for (const std::uint64_t count : histogram.counts())
        total += count;
    CHECK(total == 40'000);
}
