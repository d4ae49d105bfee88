// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_warm_up.h"
#include "support/temp_dir.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <numeric>

using namespace tidemark::daemon;

namespace {

// A small set, whole: the numbers from..to.
ContentSketch sketch(std::uint64_t from, std::uint64_t to) {
    std::vector<std::uint64_t> values(to - from);
    std::iota(values.begin(), values.end(), from);
    return ContentSketch::of(std::move(values), to - from);
}

} // namespace

TEST_CASE("what counts is the share of the smaller memory") {
    CHECK(common_share(sketch(0, 100), sketch(0, 100)) == Catch::Approx(1));
    CHECK(common_share(sketch(0, 200), sketch(0, 50)) == Catch::Approx(1));
    CHECK(common_share(sketch(0, 100), sketch(50, 150)) == Catch::Approx(0.5));
    CHECK(common_share(sketch(0, 100), sketch(100, 200)) == 0);
    CHECK(common_share({}, sketch(0, 100)) == 0);
}

TEST_CASE("the record that agrees best is found, in the same group only, and after a restart") {
    tidemark::test::TempDir place;
    const std::string state = place.path().string();
    for (const char *uuid : {"a", "b", "c"}) {
        std::filesystem::create_directories(state + "/recorded/" + uuid);
    }
    WarmUps warm_ups(state);
    warm_ups.add("a", "web", sketch(0, 100));
    warm_ups.add("b", "web", sketch(20, 120));
    warm_ups.add("c", "db", sketch(30, 130));
    warm_ups.add("c", "", sketch(30, 130)); // of no group: not kept
    const WarmUps again(state);
    for (const WarmUps *one : {static_cast<const WarmUps *>(&warm_ups), &again}) {
        CHECK(one->size() == 3);
        CHECK(one->find("web", sketch(30, 130))->uuid == "b");
        CHECK(one->find("db", sketch(30, 130))->uuid == "c");
        CHECK(!one->find("web", sketch(90, 190))); // too little in common
        CHECK(!one->find("mail", sketch(0, 100)));
        CHECK(!one->find("", sketch(30, 130)));
        CHECK(!one->find("web", {}));
    }
}

TEST_CASE("damaged sketches are passed over") {
    tidemark::test::TempDir place;
    const std::string state = place.path().string();
    for (const char *text : {"", "web", "web 3 3 2 1", "web x 1 2", "web 3 zero"}) {
        const std::string folder = state + "/recorded/g" + std::to_string(std::string(text).size());
        std::filesystem::create_directories(folder);
        std::ofstream(folder + "/sketch") << text;
    }
    CHECK(WarmUps(state).size() == 0);
}
