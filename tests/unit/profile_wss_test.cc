// SPDX-License-Identifier: GPL-2.0-or-later
//
// Working-set sizes, cold memory and heat, against what was really accessed.
#include "guest_model.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <cmath>
#include <numeric>
#include <set>

using namespace tidemark;

namespace {

constexpr std::uint32_t kPages = 65536; // 256 MiB

Access use(std::uint32_t page, std::uint32_t count = 1, AccessKind kind = AccessKind::first_touch) {
    return {PageIndex{page}, count, kind, Origin::guest, false, 0};
}

std::vector<std::uint32_t> some_pages(std::uint32_t count, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::set<std::uint32_t> pages;
    while (pages.size() < count)
        pages.insert(static_cast<std::uint32_t>(random() % kPages));
    return {pages.begin(), pages.end()};
}

void idle(Profiler &profiler, double from, double to, double step = 0.25) {
    Residency nothing;
    nothing.watching = true;
    for (double now = from; now <= to; now += step)
        profiler.tick(now, nothing);
}

// For tests about DRAM: the same number in every region.
struct Everywhere {
    Everywhere(std::uint16_t resident, std::uint16_t staged)
        : in_r(kPages / kRegionPages, resident), in_s(in_r.size(), staged) {}
    Residency residency() const {
        Residency all{true, in_r, in_s, 0, 0, 0, kPages};
        all.resident_pages = std::accumulate(in_r.begin(), in_r.end(), 0U);
        all.staged_pages = std::accumulate(in_s.begin(), in_s.end(), 0U);
        return all;
    }
    std::vector<std::uint16_t> in_r, in_s;
};

} // namespace

TEST_CASE("a working set of scattered pages is counted within its stated error") {
    const auto count = GENERATE(300u, 3000u, 30000u);
    const auto seed = GENERATE(range(1u, 6u));
    Profiler profiler(kPages);
    profiler.tick(1000, {});
    for (const std::uint32_t page : some_pages(count, seed))
        for (int again = 0; again < 3; ++again) // uses, not distinct pages
            profiler.note(std::vector{use(page)});
    idle(profiler, 1000.25, 1005);
    for (const WorkingSetSize &size : profiler.report().working_set) {
        const double error = static_cast<double>(size.seen_pages) - count;
        CHECK(std::abs(error) <= 4 * std::sqrt(15.0 * count));
    }
}

TEST_CASE("a working set of runs is counted almost exactly") {
    Profiler profiler(kPages);
    profiler.note(std::vector{use(1003, 5000), use(20000, 1777), use(1003, 600)});
    idle(profiler, 0.25, 1);
    CHECK(std::abs(static_cast<double>(profiler.report().working_set[0].seen_pages) - 6777) <= 64);
}

TEST_CASE("a window forgets what was used before it") {
    Profiler profiler(kPages);
    profiler.tick(100, {});
    profiler.note(std::vector{use(0, 4096)});
    const auto seen = [&](double now) {
        profiler.tick(now, {});
        std::array<std::uint64_t, 3> pages{};
        std::ranges::transform(profiler.report().working_set, pages.begin(),
                               &WorkingSetSize::seen_pages);
        return pages;
    };
    using Seen = std::array<std::uint64_t, 3>;
    CHECK(seen(100.5) == Seen{4096, 4096, 4096});
    CHECK(seen(109.9) == Seen{4096, 4096, 4096});
    CHECK(seen(110.1) == Seen{0, 4096, 4096});
    CHECK(seen(159.9) == Seen{0, 4096, 4096});
    CHECK(seen(160.1) == Seen{0, 0, 4096});
    CHECK(seen(699.9) == Seen{0, 0, 4096});
    CHECK(seen(700.1) == Seen{0, 0, 0});
}

TEST_CASE("what was used days ago never seems new") {
    Profiler profiler(4096);
    double now = 0;
    // Stamps are two bytes of seconds: 18 hours. Three days, with pages used once at their start and
    // another page every now and then.
    profiler.note(std::vector{use(0, 2048)});
    for (int tick = 0; tick < 100000; ++tick, now += 2.6) {
        profiler.tick(now, {});
        if (tick % 5000 == 2500)
            profiler.note(std::vector{use(4000, 96)});
        if (tick % 97 == 0 && now > 650)
            REQUIRE(profiler.report().working_set[2].seen_pages <= 112);
    }
    CHECK(now > 3 * 24 * 3600);
    // A clock that jumps forward by a whole turn of the stamps, and one that goes back.
    profiler.note(std::vector{use(0, 1024)});
    profiler.tick(now + 65535, {});
    CHECK(profiler.report().working_set[2].seen_pages == 0);
    profiler.note(std::vector{use(0, 1024)});
    profiler.tick(5, {});
    CHECK(profiler.report().seconds == now + 65535);
    CHECK(profiler.report().working_set[0].seen_pages == 1024);
}

TEST_CASE("without samples, resident memory is said to be unknown") {
    Profiler profiler(kPages);
    Everywhere all(512, 0);
    for (double now = 0; now < 100; now += 0.25)
        profiler.tick(now, all.residency());
    const WorkingSetSize size = profiler.report().working_set[1];
    CHECK(size.seen_pages == 0);
    CHECK(size.estimate_pages == 0);
    CHECK(size.untested_pages == kPages);
}

TEST_CASE("samples that come back stand for the resident pages around them") {
    Profiler profiler(kPages);
    Everywhere all(496, 16);
    profiler.tick(100, all.residency());
    // In the first half all 16 come back, in the second none, but in region 100: 4 of 16.
    for (std::uint32_t r = 0; r < 64; ++r) {
        profiler.note(std::vector{use(r * 512 + 32, 16, AccessKind::staged)});
        all.in_s[r] = 0;
        all.in_r[r] = 512;
    }
    profiler.note(std::vector{use(100 * 512, 4, AccessKind::staged)});
    all.in_s[100] = 12;
    all.in_r[100] = 500;
    profiler.tick(100.25, all.residency());
    const ProfileReport report = profiler.report();
    const auto estimate = static_cast<double>(report.working_set[0].estimate_pages);
    // 16 of 17 of half of the memory, and 4 of 17 of region 100.
    CHECK(std::abs(estimate - (64 * 16 + 64 * 496 * 16.0 / 17 + 4 + 496 * 4.0 / 17)) < 300);
    CHECK(std::abs(static_cast<double>(report.working_set[0].seen_pages) - (64 * 16 + 4)) < 64);
    CHECK(report.working_set[0].untested_pages == 0);
    CHECK(profiler.heat(0) > 400);
    CHECK(profiler.heat(0) <= 512);
    CHECK(profiler.heat(100) < 140);
    CHECK(profiler.heat(101) == 0);
    // Samples again and again don't make it hotter than its pages are many.
    for (double now = 101; now < 140; now += 1) {
        profiler.note(std::vector{use(32, 16, AccessKind::staged)});
        profiler.tick(now, all.residency());
    }
    CHECK(profiler.heat(0) > 500);
    CHECK(profiler.heat(0) <= 512 + 16 * 39);
    CHECK(profiler.heat(1) < profiler.heat(0) * 0.7); // the last sample is 40 s old
}

TEST_CASE("pages brought in to be watched are samples of where they are, too") {
    Profiler profiler(kPages);
    Everywhere all(496, 0);
    profiler.tick(100, all.residency());
    all.in_s.assign(all.in_s.size(), 16);
    profiler.tick(100.25, all.residency());
    // In the first half they are used, in the second they leave again; read ahead of a walk is no sample.
    for (std::uint32_t r = 0; r < 128; ++r) {
        Access watched =
            use(r * 512 + 32, 16, r < 64 ? AccessKind::prefetched : AccessKind::wasted);
        watched.origin = Origin::phases;
        Access walk = use(r * 512 + 64, 64, AccessKind::prefetched);
        walk.origin = Origin::streams;
        profiler.note(std::vector{watched, walk});
        all.in_s[r] = 0;
        all.in_r[r] = r < 64 ? 512 : 496;
    }
    profiler.tick(100.5, all.residency());
    const WorkingSetSize size = profiler.report().working_set[0];
    CHECK(std::abs(static_cast<double>(size.seen_pages) - (64 * 80 + 64 * 64)) < 64);
    const double unseen = (512 - 80) * 16.0 / 17;
    CHECK(std::abs(static_cast<double>(size.estimate_pages - size.seen_pages) - 64 * unseen) < 300);
    CHECK(size.untested_pages == 0);
}

TEST_CASE("a sampled guest's working set is estimated, though all of it is resident") {
    // 8192 pages are used all the time, of 32768 that were touched once; all fit in DRAM.
    GuestModel guest(kPages, 40000, 0);
    for (std::uint32_t page = 0; page < 32768; ++page)
        guest.access(page, true);
    guest.run(700, [](GuestModel &g) {
        g.sample(40);
        for (int i = 0; i < 8192; ++i)
            g.access(static_cast<std::uint32_t>(g.random() % 8192), false);
    });
    const ProfileReport report = guest.profiler.report();
    for (const WorkingSetSize &size : report.working_set)
        CHECK(size.seen_pages < 9000);
    CHECK(report.working_set[1].seen_pages < 4096); // a sample
    const auto estimate = static_cast<double>(report.working_set[1].estimate_pages);
    CHECK(estimate > 8192 * 0.6);
    CHECK(estimate < 8192 * 1.1);
    CHECK(report.cold[1].pages == 32768 - 8192); // the rest, and it is known to be
    CHECK(report.cold[1].tested_pages == report.cold[1].pages);
}

TEST_CASE("memory gets cold with age") {
    Profiler profiler(kPages);
    Everywhere all(512, 0);
    for (double now = 0; now < 1000; now += 1) {
        for (std::uint32_t r = 0; r < 4; ++r) // region r is last used at 900 - 100 r
            if (now <= 900 - 100.0 * r)
                profiler.note(std::vector{use(r * 512, 1)});
        if (static_cast<int>(now) % 50 == 0) // and region 4 by what another source says
            profiler.note_accessed(4, 7);
        profiler.tick(now, all.residency());
    }
    const ProfileReport report = profiler.report();
    CHECK(report.cold[0].pages == kPages - 0);
    CHECK(report.cold[1].pages == kPages - 2 * 512);
    CHECK(report.cold[2].pages == kPages - 5 * 512);
    CHECK(report.cold[2].tested_pages == 0);
}
