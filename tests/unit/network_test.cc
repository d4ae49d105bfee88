// SPDX-License-Identifier: GPL-2.0-or-later
//
// The network as a predictor: it names what is about to become hot, and only that; and what it has learnt is kept.
#include "predict/network.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>

using namespace tidemark;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::uint32_t kRegions = 32, kPages = kRegions * kRegionPages;

// Every 30 s, regions 8 to 11 are used for 5 s: the first 12 blocks of each, 160 pages a second of them.
struct Job {
    explicit Job(std::uint32_t pages = kPages) {
        auto made = Network::make(pages, 10, 1'500'000);
        REQUIRE(made);
        network = std::move(*made);
        network->set_room(100'000);
    }
    static bool at_work(double when) { return std::fmod(when, 30) < 5; }
    void run(double seconds) {
        for (const double end = now + seconds; now < end; now += 0.25) {
            std::vector<Access> accesses;
            std::vector<float> heat(kRegions, 0.25f);
            for (std::uint32_t region = 8; at_work(now) && region < 12; ++region) {
                accesses.push_back({PageIndex{region * kRegionPages}, 192, AccessKind::stored});
                heat[region] = 40;
            }
            network->observe({now, 0.25, accesses, heat});
            std::vector<Expectation> out;
            network->expect(out);
            for (const Expectation &one : out) {
                named.push_back(one);
                times.push_back(now + 0.25);
            }
        }
    }

    std::unique_ptr<Network> network;
    double now = 0;
    std::vector<Expectation> named;
    std::vector<double> times;
};

} // namespace

TEST_CASE("a horizon of 0, or one that is too long, is refused with a sentence") {
    for (const std::uint32_t horizon : {0u, 4u, 31u, UINT32_MAX}) {
        const auto made = Network::make(kPages, horizon);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == EINVAL);
        CHECK_THAT(made.error().sentence,
                   ContainsSubstring("a horizon of " + std::to_string(horizon) + " s; it must be"));
    }
    CHECK(Network::make(kPages, 5));
    CHECK(Network::make(kPages, 30));
}

TEST_CASE(
    "regions with a period are named before they are hot, once, by the blocks that were used") {
    Job job;
    job.run(600);
    CHECK(job.network->forecaster().history().period() == 30);
    job.named.clear();
    job.times.clear();
    job.run(300);
    std::uint64_t right = 0, pages = 0;
    for (std::size_t i = 0; i < job.named.size(); ++i) {
        const Expectation &one = job.named[i];
        pages += one.run.count;
        bool used = false; // before its time is over
        for (double when = job.times[i]; when < one.until; when += 0.25)
            used = used || Job::at_work(when);
        const std::uint32_t region = one.run.first.value / kRegionPages;
        CHECK_FALSE(Job::at_work(job.times[i] - 0.25));
        CHECK(one.until == job.times[i] + 10);
        CHECK(one.run == PageRun{PageIndex{region * kRegionPages}, 192});
        CHECK(one.confidence > 0.3f);
        right += used && region >= 8 && region < 12 ? one.run.count : 0;
    }
    // Ten times, four regions.
    CHECK(right >= 9 * 4 * 192);
    CHECK(right * 10 >= pages * 9);
    CHECK(pages <= 20 * 4 * 192);
}

TEST_CASE("it names no more than there is free DRAM for, and nothing while that is not known") {
    Job job;
    job.network->set_room(0);
    job.run(630);
    CHECK(job.named.empty());
    job.network->set_room(2 * 192 + 100);
    job.run(25);
    std::uint64_t pages = 0;
    for (std::size_t i = 0; i < job.named.size(); ++i)
        pages += job.times[i] == job.times[0] ? job.named[i].run.count : 0;
    CHECK(pages == 2 * 192);
}

TEST_CASE("what it learnt serves another guest of another size") {
    Job teacher;
    teacher.run(600);
    const auto bytes = teacher.network->save();
    REQUIRE_FALSE(bytes.empty());
    Job taught(2 * kPages), novice(2 * kPages);
    REQUIRE(taught.network->restore(bytes));
    for (Job *one : {&taught, &novice})
        one->run(100); // three times: hardly enough to learn from
    const auto named = [](const Job &job) {
        return std::count_if(job.named.begin(), job.named.end(), [](const Expectation &one) {
            const std::uint32_t region = one.run.first.value / kRegionPages;
            return region >= 8 && region < 12;
        });
    };
    CHECK(named(taught) >= 4);
    CHECK(named(taught) > named(novice));
}

TEST_CASE(
    "weights that are damaged, of another version or horizon are refused, and nothing changes") {
    Job job;
    CHECK(job.network->save().empty());
    job.run(60);
    const auto bytes = job.network->save();
    const auto refused = [&](std::span<const std::byte> bad, const char *why) {
        const auto result = job.network->restore(bad);
        return !result && result.error().code == EINVAL &&
               result.error().sentence.find("this is no usable file of weights: ") == 0 &&
               result.error().sentence.find(why) != std::string::npos;
    };
    for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 32)
        CHECK(refused(std::span(bytes).first(length),
                      length < 24 ? "within its header" : "should have"));
    for (std::size_t at = 0; at < bytes.size(); at += 1 + at / 64) {
        auto flipped = bytes;
        flipped[at] ^= std::byte{1};
        CHECK(refused(flipped, ""));
    }
    auto version = bytes;
    version[8] = std::byte{9};
    CHECK(refused(version, "of version 9"));
    CHECK(job.network->save() == bytes);
    auto other = Network::make(kPages, 20);
    REQUIRE(other);
    const auto foreign = (*other)->restore(bytes);
    REQUIRE_FALSE(foreign);
    CHECK_THAT(foreign.error().sentence,
               ContainsSubstring("for a horizon of 10 s, and this one is of 20 s"));
}

TEST_CASE("odd windows do no harm") {
    auto network = std::move(*Network::make(1000, 5)); // not whole regions
    network->set_room(UINT32_MAX);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<Access> odd = {{PageIndex{999}, 5000, AccessKind::stored},
                                     {PageIndex{UINT32_MAX}, UINT32_MAX, AccessKind::stored},
                                     {PageIndex{2000}, 1, AccessKind::left}};
    std::vector<Expectation> out;
    double now = 0;
    for (int i = 0; i < 200; ++i) {
        const std::vector<float> heat = {i % 7 ? 1e30f : nan, -5, 100, 100, INFINITY};
        const double seconds = i % 5 == 0 ? 0 : i % 5 == 1 ? 100 : 0.3;
        network->observe({now, seconds, odd, heat});
        network->expect(out);
        now += seconds;
    }
    for (const Expectation &one : out) {
        CHECK(one.run.end().value <= 1000);
        CHECK((one.confidence >= 0 && one.confidence <= 1));
    }
    const std::vector<std::byte> saved = network->save();
    CHECK(network->restore(saved)); // all weights are numbers still
}

TEST_CASE("it keeps to its budget and its memory, however large the guest") {
    constexpr std::uint32_t kHuge = 64u << 18; // 64 GiB
    auto network = std::move(*Network::make(kHuge, 10, 1'000'000));
    std::vector<float> heat(kHuge / kRegionPages, 20);
    for (int i = 0; i < 20; ++i)
        network->observe({i * 1.0, 1, {}, heat});
    const double each = double(network->forecaster().spent()) / 20;
    CHECK(each < 1'100'000);
    CHECK(each > 500'000);
    CHECK(network->bytes() < (2u << 20) + kHuge / kRegionPages * 40 + (256u << 10));
}
