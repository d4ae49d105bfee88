// SPDX-License-Identifier: GPL-2.0-or-later
//
// The profiler as a whole: heat and its splits, the pattern of accesses, phases, bounds.
#include "guest_model.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <chrono>
#include <cstdio>
#include <numeric>

using namespace tidemark;

namespace {

constexpr std::uint32_t kPages = 65536; // 256 MiB, 128 regions
constexpr std::uint32_t kGiB = 262144;

Access use(std::uint32_t page, std::uint32_t count = 1, AccessKind kind = AccessKind::stored,
           bool write = false) {
    return {PageIndex{page}, count, kind, Origin::guest, write, 0};
}

bool near(double value, double wanted, double by) {
    return std::abs(value - wanted) <= by * std::abs(wanted);
}

} // namespace

TEST_CASE("heat halves in a half-life, and a window holds what was seen since it was opened") {
    Profiler profiler(kPages);
    profiler.note(std::vector{use(500, 24)}); // 12 pages of region 0, 12 of region 1
    CHECK(profiler.window_heat().size() == 128);
    CHECK(profiler.window_heat()[0] == 12);
    CHECK(profiler.window_heat()[1] == 12);
    CHECK(profiler.heat(1) == 12);
    profiler.close_window();
    CHECK(profiler.window_heat()[1] == 0);
    profiler.tick(Regions::kHalfLife, {});
    CHECK(near(profiler.heat(1), 6, 1e-5));
    profiler.note(std::vector{use(512, 100, AccessKind::left), use(512, 100, AccessKind::wasted)});
    CHECK(profiler.window_heat()[1] == 0); // leaving is no use
    for (const AccessKind kind :
         {AccessKind::first_touch, AccessKind::staged, AccessKind::stored, AccessKind::prefetched})
        profiler.note(std::vector{use(512, 1, kind)});
    CHECK(profiler.window_heat()[1] == 4);
    CHECK(near(profiler.heat(1), 10, 1e-5));
    // Over days, by small steps and one great leap.
    for (double now = 100; now < 2 * 86400; now += 30)
        profiler.tick(now, {});
    CHECK(profiler.heat(1) < 1e-9);
    profiler.note(std::vector{use(512, 8)});
    CHECK(near(profiler.heat(1), 8, 1e-5));
    profiler.tick(1e9, {});
    CHECK(profiler.heat(1) == 0);
    const ProfileReport report = profiler.report();
    CHECK(report.heat.size() == 64);
    CHECK(report.heat_regions == 2);
}

TEST_CASE("other sources raise heat, and are not added to what faults showed") {
    Profiler profiler(kPages);
    profiler.tick(1, {});
    profiler.note(std::vector{use(0, 50)});
    profiler.note_accessed(0, 40);
    profiler.note_writes(1, 70);
    profiler.note_writes(1, 30);
    profiler.note_writes(5000, 1); // no such region
    profiler.note_accessed(5000, 1);
    profiler.note_accessed(2, 5000);
    CHECK(profiler.window_heat()[0] == 50);
    CHECK(profiler.window_heat()[1] == 70);
    CHECK(profiler.window_heat()[2] == 512);
    CHECK(near(profiler.heat(0), 50, 1e-5));
    CHECK(near(profiler.heat(1), 70, 1e-5));
    profiler.tick(2, {});
    const ProfileReport report = profiler.report();
    CHECK(report.writes_reported);
    CHECK(report.written_pages_per_second > 0);
    CHECK(near(static_cast<double>(report.working_set[0].seen_pages), 50 + 70 + 512, 0.06));
    profiler.tick(100, {});
    CHECK_FALSE(profiler.report().writes_reported);
    CHECK(profiler.report().working_set[0].seen_pages == 0);
}

TEST_CASE("regions are split where one part is hot, not where all are alike") {
    Profiler profiler(kPages);
    std::mt19937 random(7);
    for (double now = 0; now < 120; now += 0.25) {
        for (int i = 0; i < 20; ++i) {
            profiler.note(std::vector{use(3 * 512 + 64 + random() % 64)}); // region 3, second part
            profiler.note(std::vector{use(9 * 512 + random() % 512)});     // region 9, all over it
        }
        profiler.tick(now, {});
    }
    CHECK(profiler.report().split_regions == 1);
    const double hot = profiler.heat_per_page(PageIndex{3 * 512 + 100});
    CHECK(near(hot, profiler.heat(3) / 64, 0.01));
    CHECK(profiler.heat_per_page(PageIndex{3 * 512 + 300}) < hot / 100);
    CHECK(near(profiler.heat_per_page(PageIndex{9 * 512}), profiler.heat(9) / 512, 0.01));
    for (double now = 120; now < 1200; now += 0.25)
        profiler.tick(now, {});
    CHECK(profiler.report().split_regions == 0); // cold
}

TEST_CASE("there are never more splits than an eighth of the regions") {
    Profiler profiler(kPages);
    std::uint32_t most = 0;
    for (double now = 0; now < 100; now += 0.25) {
        for (std::uint32_t r = 0; r < 128; ++r)
            profiler.note(std::vector{use(r * 512, 8)});
        profiler.tick(now, {});
        most = std::max(most, profiler.report().split_regions);
    }
    CHECK(most == 16);
}

TEST_CASE("locality, order and writes are the shares they claim to be") {
    Profiler profiler(kPages);
    std::mt19937 random(3);
    SECTION("a walk in order, all writes") {
        for (std::uint32_t page = 0; page < 20000; ++page)
            profiler.note(std::vector{use(page, 1, AccessKind::stored, true)});
        const ProfileReport report = profiler.report();
        CHECK(report.locality > 0.999);
        CHECK(report.in_order > 0.999);
        CHECK(report.write_share == 1);
    }
    SECTION("four walks, one of them downwards, a quarter of all writes") {
        for (std::uint32_t i = 1; i < 5000; ++i)
            profiler.note(std::vector{use(i), use(20000 + i, 1, AccessKind::stored, true),
                                      use(40000 + i), use(60000 - i)});
        const ProfileReport report = profiler.report();
        CHECK(report.locality > 0.999);
        CHECK(near(report.in_order, 0.75, 0.01));
        CHECK(near(report.write_share, 0.25, 0.01));
    }
    SECTION("random pages, first touches all writes, refaults none, some prefetched") {
        for (int i = 0; i < 20000; ++i) {
            const std::uint32_t page = static_cast<std::uint32_t>(random() % kPages);
            const bool first = i % 4 == 0;
            profiler.note(std::vector{
                use(page, 1, first ? AccessKind::first_touch : AccessKind::stored, first)});
            if (i % 10 == 0)
                profiler.note(std::vector{
                    use(static_cast<std::uint32_t>(random() % kPages), 1, AccessKind::prefetched)});
        }
        const ProfileReport report = profiler.report();
        CHECK(report.locality < 0.01); // 8 * 33 of 65536
        CHECK(report.in_order < 0.005);
        CHECK(near(report.write_share, 0.25, 0.01));
        CHECK(report.refault_write_share == 0);
        CHECK(near(report.first_touches, 0.25 / 1.1, 0.02));
    }
    SECTION("random pairs 10 pages apart") {
        for (int i = 0; i < 20000; ++i) {
            const std::uint32_t page = static_cast<std::uint32_t>(random() % (kPages - 16));
            profiler.note(std::vector{use(page), use(page + 10)});
        }
        CHECK(near(profiler.report().locality, 0.5, 0.02));
    }
}

TEST_CASE("changes between three working sets are counted, and each is known again") {
    // In DRAM, faults come with the first visit only: then all that shows are samples.
    const bool fits = GENERATE(false, true);
    GuestModel guest(kPages, fits ? 60000 : 8000, 400);
    const auto in_set = [](std::uint32_t set) {
        return [set](GuestModel &g) {
            g.sample(100);
            for (int i = 0; i < 2000; ++i)
                g.access(set * 20000 + static_cast<std::uint32_t>(g.random() % 16000), i % 2 == 0);
        };
    };
    std::vector<std::uint32_t> phases;
    for (int round = 0; round < 4; ++round)
        for (std::uint32_t set = 0; set < 3; ++set) {
            guest.run(30, in_set(set));
            const ProfileReport report = guest.profiler.report();
            phases.push_back(report.phase);
            CHECK(report.phase_changes == phases.size() - 1);
            if (phases.size() > 1)
                CHECK(report.phase_seconds > 18);
        }
    CHECK(phases == std::vector<std::uint32_t>{1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3});
    const double rate = guest.profiler.report().phase_changes_per_minute;
    CHECK(rate > 0.7);
    CHECK(rate < 2);
}

TEST_CASE("one working set, a long walk and noise are no changes of phase") {
    GuestModel guest(kPages, 8000, 400);
    SECTION("uniform") {
        guest.run(120, [](GuestModel &g) {
            for (int i = 0; i < 300; ++i)
                g.access(static_cast<std::uint32_t>(g.random() % kPages), false);
        });
        CHECK(guest.profiler.report().phase == 1);
    }
    SECTION("a pass takes half a minute") {
        std::uint32_t page = 0;
        guest.run(200, [&page](GuestModel &g) {
            for (int i = 0; i < 500; ++i)
                g.access(page++ % kPages, false);
        });
    }
    SECTION("now and then thirty pages, here or there") {
        for (int i = 0; i < 20; ++i) {
            const std::uint32_t from = 3000U * static_cast<std::uint32_t>(i);
            guest.run(0.25, [from](GuestModel &g) {
                for (std::uint32_t page = from; page < from + 30; ++page)
                    g.access(page, false);
            });
            guest.run(15, [](GuestModel &) {});
        }
        CHECK(guest.profiler.report().phase == 0);
    }
    SECTION("a few accesses here and there") {
        guest.run(600, [](GuestModel &g) {
            for (int i = 0; i < 2; ++i)
                g.access(static_cast<std::uint32_t>(g.random() % kPages), false);
        });
    }
    CHECK(guest.profiler.report().phase_changes == 0);
}

TEST_CASE("memory is bounded, and accesses from outside are no harm") {
    // Half a byte a page from 256 MiB on, 10,000 bytes and one a page below.
    for (const std::uint32_t pages : {kGiB * 64, kGiB, kGiB / 4})
        CHECK(Profiler(pages).bytes() < pages / 2);
    for (const std::uint32_t pages : {16384u, 4096u, 513u, 1u})
        CHECK(Profiler(pages).bytes() < 10000 + pages / 2);

    const std::uint32_t pages = GENERATE(kGiB, 16385u, 700u, 3u);
    Profiler profiler(pages);
    const std::size_t before = profiler.bytes();
    std::mt19937 random(11);
    std::vector<std::uint16_t> by_region((pages + 511) / 512 + 3);
    std::vector<Access> batch;
    double now = 0;
    for (int i = 0; i < 2000; ++i) {
        batch.clear();
        for (int k = 0; k < 50; ++k)
            batch.push_back(
                {PageIndex{random() % 3 == 0 ? static_cast<std::uint32_t>(random())
                                             : static_cast<std::uint32_t>(random()) % pages},
                 random() % 5 == 0 ? static_cast<std::uint32_t>(random())
                                   : static_cast<std::uint32_t>(random()) % 600,
                 static_cast<AccessKind>(random() % 6), Origin::guest, random() % 2 == 0,
                 static_cast<std::uint32_t>(random())});
        profiler.note(batch);
        profiler.note_writes(static_cast<std::uint32_t>(random() % 700),
                             static_cast<std::uint32_t>(random()));
        for (std::uint16_t &count : by_region)
            count = static_cast<std::uint16_t>(random());
        now += random() % 50 == 0 ? static_cast<double>(random() % 100000) : 0.25;
        const double odd = random() % 100 == 0   ? NAN
                           : random() % 100 == 1 ? -1e300
                           : random() % 100 == 2 ? INFINITY
                                                 : now;
        profiler.tick(odd, {true, by_region, by_region, random(), random(), random(), random()});
    }
    profiler.note_lost(5);
    const ProfileReport report = profiler.report();
    CHECK(profiler.bytes() == before);
    CHECK(report.seconds == now);
    CHECK(report.lost_accesses == 5);
    CHECK(report.heat.size() <= Profiler::kHeatCells);
    for (const WorkingSetSize &size : report.working_set)
        CHECK(size.seen_pages <= pages);
    for (const double share :
         {report.locality, report.in_order, report.write_share, report.refault_write_share,
          report.first_touches, report.more_dram[3].saved_waits, report.workload.confidence}) {
        CHECK(share >= 0);
        CHECK(share <= 1);
    }
    for (std::size_t i = 1; i < report.more_dram.size(); ++i)
        CHECK(report.more_dram[i].saved_refaults >= report.more_dram[i - 1].saved_refaults);
    CHECK(std::isfinite(std::accumulate(report.heat.begin(), report.heat.end(), 0.0F)));
}

// Not run by default: test-profile [cost]
TEST_CASE("what noting an access costs", "[.cost]") {
    std::mt19937 random(5);
    for (const std::uint32_t pages : {kGiB * 16, kGiB, kGiB / 4, kGiB / 16, 4096u, 1u})
        std::printf("%u pages: %zu bytes, %.2f a page\n", pages, Profiler(pages).bytes(),
                    static_cast<double>(Profiler(pages).bytes()) / pages);
    for (const std::uint32_t count : {1u, 16u, 512u}) {
        Profiler profiler(kGiB);
        std::vector<Access> batch;
        for (int i = 0; i < 4096; ++i) {
            const std::uint32_t page = static_cast<std::uint32_t>(random() % (kGiB - count));
            batch.push_back(use(page, count, AccessKind::stored));
            batch.push_back(use(page, count, AccessKind::left));
        }
        const auto from = std::chrono::steady_clock::now();
        double now = 0;
        std::size_t noted = 0;
        for (int i = 0; i < 200; ++i, now += 0.25, noted += batch.size())
            profiler.note(batch);
        const auto noting = std::chrono::steady_clock::now() - from;
        std::vector<std::uint16_t> by_region(kGiB / 512, 256);
        const auto ticks_from = std::chrono::steady_clock::now();
        for (int i = 0; i < 1000; ++i, now += 0.25)
            profiler.tick(now, {true, by_region, by_region, kGiB / 2, 0, 0, kGiB});
        const auto ticking = std::chrono::steady_clock::now() - ticks_from;
        const auto report_from = std::chrono::steady_clock::now();
        const bool any = profiler.report().waits_per_second > 0;
        const std::chrono::duration<double, std::micro> reporting =
            std::chrono::steady_clock::now() - report_from;
        std::printf("runs of %u: %.1f ns an access; %.1f us a tick; %.0f us a report%s\n", count,
                    std::chrono::duration<double, std::nano>(noting).count() /
                        static_cast<double>(noted),
                    std::chrono::duration<double, std::micro>(ticking).count() / 1000,
                    reporting.count(), any ? "" : "?");
    }
}
