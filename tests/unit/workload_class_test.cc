// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which class five kinds of work are put into, from the accesses alone, and when the answer is "unknown".
#include "guest_model.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

using namespace tidemark;

namespace {

constexpr std::uint32_t kPages = 65536;
constexpr std::uint32_t kDram = 16384;

// Keys, few of them hot, scattered over memory; a share of the accesses writes.
void serve(GuestModel &guest, const Zipf &zipf, double writes) {
    for (int i = 0; i < 3000; ++i)
        guest.access(zipf(guest.random) * 40503U % kPages,
                     static_cast<double>(guest.random() % 1000) < writes * 1000);
}

WorkloadGuess guess(const GuestModel &guest) {
    const ProfileReport report = guest.profiler.report();
    const WorkloadFeatures &f = report.features;
    UNSCOPED_INFO("active " << f.active << " tested " << f.tested << " in order " << f.in_order
                            << " writes " << f.writes << " spread " << f.spread << " used "
                            << f.used_pages << " refaulted " << f.refaulted_pages << ": "
                            << name_of(report.workload.workload) << " "
                            << report.workload.confidence);
    return report.workload;
}

} // namespace

TEST_CASE("skewed random accesses with writes are database-like") {
    GuestModel guest(kPages, kDram, 800);
    const Zipf zipf(kPages);
    guest.run(120, [&zipf](GuestModel &g) { serve(g, zipf, 0.3); });
    const WorkloadGuess got = guess(guest);
    CHECK(got.workload == WorkloadClass::database);
    CHECK(got.confidence >= kLeastFit);
    CHECK_FALSE(got.labelled);
}

TEST_CASE("skewed random accesses that hardly write are web-like") {
    GuestModel guest(kPages, kDram, 800);
    const Zipf zipf(kPages);
    guest.run(120, [&zipf](GuestModel &g) { serve(g, zipf, 0.02); });
    const WorkloadGuess got = guess(guest);
    CHECK(got.workload == WorkloadClass::web_cache);
    CHECK(got.confidence >= kLeastFit);
}

TEST_CASE("passes through memory are batch-like, one or four at a time") {
    const std::uint32_t walks = GENERATE(1u, 4u);
    GuestModel guest(kPages, kDram, 800);
    std::uint32_t next = 0;
    guest.run(120, [&](GuestModel &g) {
        for (int i = 0; i < 3000; ++i, ++next)
            g.access((next % walks * (kPages / walks) + next / walks) % kPages, next % 3 == 0);
    });
    const WorkloadGuess got = guess(guest);
    CHECK(got.workload == WorkloadClass::batch_scan);
    CHECK(got.confidence > 0.9);
}

TEST_CASE("a guest that leaves its memory alone is idle, if that has been tested") {
    const bool sampled = GENERATE(true, false);
    GuestModel guest(kPages, kPages, 0);
    for (std::uint32_t page = 0; page < kPages / 2; ++page)
        guest.access(page, true);
    guest.run(300, [&](GuestModel &g) {
        if (sampled)
            g.sample(4);
        for (int i = 0; i < 20; ++i) // the guest's clock ticks on
            g.access(static_cast<std::uint32_t>(g.random() % 100), true);
    });
    const WorkloadGuess got = guess(guest);
    CHECK(got.workload == (sampled ? WorkloadClass::idle : WorkloadClass::unknown));
    CHECK((got.confidence > 0.9) == sampled);
}

TEST_CASE("a guest whose memory has all left unused is idle, and one that has much of it is not "
          "known to be") {
    const std::size_t most = GENERATE(0, kPages / 200, kPages / 8);
    GuestModel guest(kPages, kPages, 0);
    for (std::uint32_t page = 0; page < kPages / 2; ++page)
        guest.access(page, true);
    guest.run(10, [](GuestModel &) {});
    guest.reclaim(most);
    guest.run(120, [](GuestModel &) {});
    CHECK(guess(guest).workload ==
          (most < kPages / 8 ? WorkloadClass::idle : WorkloadClass::unknown));
}

TEST_CASE("uniform random accesses, and hardly any, are no class") {
    const int accesses = GENERATE(3000, 1);
    GuestModel guest(kPages, kDram, 800);
    guest.run(120, [accesses](GuestModel &g) {
        for (int i = 0; i < accesses; ++i)
            g.access(static_cast<std::uint32_t>(g.random() % kPages), i % 4 == 0);
    });
    const WorkloadGuess got = guess(guest);
    CHECK(got.workload == WorkloadClass::unknown);
    CHECK(got.confidence == 0);
}

TEST_CASE("an operator's label wins, until it is taken away") {
    GuestModel guest(kPages, kDram, 800);
    std::uint32_t next = 0;
    guest.run(60, [&next](GuestModel &g) {
        for (int i = 0; i < 3000; ++i)
            g.access(next++ % kPages, false);
    });
    CHECK(guess(guest).workload == WorkloadClass::batch_scan);
    guest.profiler.set_label(WorkloadClass::database);
    CHECK(guess(guest).workload == WorkloadClass::database);
    CHECK(guess(guest).confidence == 1);
    CHECK(guess(guest).labelled);
    guest.profiler.set_label(std::nullopt);
    CHECK(guess(guest).workload == WorkloadClass::batch_scan);
}

TEST_CASE("a guest that is not watched has no class") {
    WorkloadFeatures features;
    features.tested = 1;
    CHECK(classify(features).workload == WorkloadClass::unknown);
    features.watching = true;
    CHECK(classify(features).workload == WorkloadClass::idle);
}

TEST_CASE("every class is reached by its row, and left when one condition fails") {
    const WorkloadFeatures idle{true, 0, 0.1, 0, 0, 0, 0, 0};
    const WorkloadFeatures batch{true, 0.5, 0.1, 1, 0.5, 1, 1e5, 1e5};
    const WorkloadFeatures database{true, 0.5, 0.1, 0.1, 0.5, 10, 1e5, 1e5};
    const WorkloadFeatures web{true, 0.5, 0.1, 0.1, 0.01, 10, 1e5, 1e5};
    CHECK(classify(idle).workload == WorkloadClass::idle);
    CHECK(classify(batch).workload == WorkloadClass::batch_scan);
    CHECK(classify(database).workload == WorkloadClass::database);
    CHECK(classify(web).workload == WorkloadClass::web_cache);
    WorkloadFeatures none = database;
    none.spread = 3; // the same odds for every page
    CHECK(classify(none).workload == WorkloadClass::unknown);
    none = web;
    none.writes = 0.10; // halfway between two classes
    CHECK(classify(none).workload == WorkloadClass::unknown);
    none = batch;
    none.used_pages = 200; // too little seen
    CHECK(classify(none).workload == WorkloadClass::unknown);
    none = idle;
    none.tested = 0;
    CHECK(classify(none).workload == WorkloadClass::unknown);
}

TEST_CASE("names lead to classes and back") {
    for (const char *name : {"unknown", "database-like", "web-like", "batch-like", "idle"}) {
        REQUIRE(workload_class_of(name));
        CHECK(name_of(*workload_class_of(name)) == name);
    }
    CHECK_FALSE(workload_class_of("database"));
    CHECK_FALSE(workload_class_of(""));
}
