// SPDX-License-Identifier: GPL-2.0-or-later
//
// A sketch holds the smallest checksums whatever the order, and two of them tell what is common.
#include "engine/content_sketch.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <iterator>
#include <random>
#include <set>

using namespace tidemark;

namespace {

std::vector<std::uint64_t> contents(std::uint64_t seed, std::size_t count) {
    std::mt19937_64 random(seed);
    std::vector<std::uint64_t> all(count);
    std::generate(all.begin(), all.end(), [&] { return random() | 1; });
    return all;
}

ContentSketch sketch_of(const std::vector<std::uint64_t> &all) {
    ContentSketch sketch;
    for (const std::uint64_t one : all)
        sketch.add(one);
    return sketch;
}

double common(const ContentSketch &a, const ContentSketch &b) {
    std::set<std::uint64_t> both(a.values().begin(), a.values().end());
    both.insert(b.values().begin(), b.values().end());
    std::size_t seen = 0, shared = 0;
    for (const std::uint64_t one : both) {
        if (seen++ == ContentSketch::kMost)
            break;
        shared += std::binary_search(a.values().begin(), a.values().end(), one) &&
                  std::binary_search(b.values().begin(), b.values().end(), one);
    }
    return static_cast<double>(shared) / ContentSketch::kMost;
}

} // namespace

TEST_CASE("the smallest checksums stay, each once") {
    std::vector<std::uint64_t> all = contents(1, 5000);
    all.insert(all.end(), all.begin(), all.begin() + 2500);
    const ContentSketch sketch = sketch_of(all);
    CHECK(sketch.pages() == 7500);
    const std::set<std::uint64_t> sorted(all.begin(), all.end());
    CHECK(sketch.values() == std::vector<std::uint64_t>(
                                 sorted.begin(), std::next(sorted.begin(), ContentSketch::kMost)));
    std::reverse(all.begin(), all.end());
    CHECK(sketch_of(all).values() == sketch.values());
}

TEST_CASE("few contents are all kept") {
    CHECK(ContentSketch().values().empty());
    CHECK(sketch_of({7, 3, 7}).values() == std::vector<std::uint64_t>{3, 7});
}

TEST_CASE("two sketches estimate the share that is common") {
    const std::vector<std::uint64_t> shared = contents(2, 20000);
    for (const std::size_t own : {std::size_t{0}, std::size_t{5000}, std::size_t{40000}}) {
        std::vector<std::uint64_t> a = contents(3, own), b = contents(4, own);
        a.insert(a.end(), shared.begin(), shared.end());
        b.insert(b.end(), shared.begin(), shared.end());
        const double truth = 20000.0 / (20000.0 + 2.0 * static_cast<double>(own));
        CAPTURE(own);
        CHECK(std::abs(common(sketch_of(a), sketch_of(b)) - truth) < 0.12);
    }
    CHECK(common(sketch_of(shared), sketch_of(contents(5, 20000))) == 0);
}
