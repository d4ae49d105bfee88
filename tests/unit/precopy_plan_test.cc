// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the plan of a precopy lets through, when, and what it takes for sent. Whether that pays is for
// sim/precopy_test.cc.
#include "migrate/precopy.h"

#include <catch2/catch_test_macros.hpp>

using namespace tidemark;

namespace {

constexpr Nanos kMilli = kSecond / 1000;
constexpr std::uint64_t kPages = 1024;
constexpr std::uint64_t kLink = 1 << 20; // a stripe takes a quarter of a second

// Pages of the first stripe were never written; of the second, written by every look; of the third by each 20th.
struct Planned {
    explicit Planned(bool observe_only = false, Nanos limit = kMilli) : writes(0) {
        writes.add_block(0, kPages);
        for (int i = 0; i < 200; ++i)
            look(i % 20 == 0 ? 3 : 1);
        plan.emplace(writes, PrecopyTerms{observe_only, limit, 0}, now);
        sync();
    }
    // Stripes 1 and 2, one bit each.
    void look(unsigned stripes) {
        std::array<unsigned long, 3> words{0, (stripes & 1) != 0 ? ~0ul : 0,
                                           (stripes & 2) != 0 ? ~0ul : 0};
        now += 100 * kMilli;
        writes.begin(now);
        writes.dirty(0, 0, words);
        if (plan)
            plan->written(0, 0, words);
        writes.end(now);
    }
    void sync() { plan->synced(now, kLink, left()); }
    std::uint64_t left() const {
        std::uint64_t sum = 0;
        for (const unsigned long word : bits)
            sum += static_cast<unsigned>(__builtin_popcountl(word));
        return sum;
    }
    Waiting waiting() const { return {0, bits.data(), kPages}; }
    std::uint64_t next(std::uint64_t from = 0) { return plan->next(waiting(), from); }
    void send(std::uint64_t page) {
        bits[page / 64] &= ~(1ul << page % 64);
        plan->sent({0, page}, now);
    }
    // Everything that may go goes. How many pages that were.
    int send_all() {
        int sent = 0;
        for (std::uint64_t page = next(); page < kPages; page = next(page + 1), ++sent)
            send(page);
        return sent;
    }

    Nanos now = 0;
    Writes writes;
    std::optional<Precopy> plan;
    std::array<unsigned long, kPages / 64> bits{};
};

PageHash hash(std::uint64_t content) {
    return {content, ~content};
}

} // namespace

TEST_CASE(
    "pages never written go first, then those that are not written for long, hot ones not at all") {
    Planned p;
    p.bits[0] = p.bits[1] = p.bits[2] = ~0ul;
    p.look(3);
    p.sync();
    CHECK(p.plan->eligible(p.waiting()) == 64);
    CHECK(p.next() == 0);
    CHECK(p.next(63) == 63);
    CHECK(p.next(64) == kPages);
    CHECK(p.send_all() == 64);
    REQUIRE(p.plan->advance(p.now) == PrecopyStep::more);
    CHECK(p.plan->eligible(p.waiting()) == 64);
    CHECK(p.next() == 128);
    CHECK(p.send_all() == 64);
    CHECK(p.plan->advance(p.now) == PrecopyStep::wait);
    CHECK(p.next() == kPages);
    CHECK(p.bits[1] == ~0ul);
    CHECK(p.plan->sync_in(p.now) <= 100 * kMilli);
}

TEST_CASE("hot pages that calm down are let in, so that a precopy can't hang on them") {
    Planned p;
    p.bits[1] = ~0ul;
    p.sync();
    CHECK(p.send_all() == 0);
    CHECK(p.plan->advance(p.now) == PrecopyStep::wait);
    int looks = 0;
    for (; p.left() != 0 && looks < 20; ++looks) {
        p.look(0);
        p.sync();
        do
            p.send_all();
        while (p.plan->advance(p.now) == PrecopyStep::more);
    }
    CHECK(p.left() == 0);
    CHECK(looks < 5);
}

TEST_CASE("however hopeless it is, in the end each page goes once, and only once") {
    Planned p;
    p.bits[1] = ~0ul;
    int sent = 0, looks = 0;
    const auto go = [&] {
        p.bits[1] = ~0ul; // written again
        p.look(1);
        p.sync();
        do
            sent += p.send_all();
        while (p.plan->advance(p.now) == PrecopyStep::more);
    };
    for (; sent == 0 && looks < 40; ++looks)
        go();
    CHECK(sent == 64);
    CHECK(looks > 10);
    for (looks = 0; looks < 40; ++looks)
        go();
    CHECK(sent == 64);
    CHECK(p.plan->counts().resent == 0);
}

TEST_CASE("with room for all of them in the downtime the hot pages are left to it") {
    Planned p(false, kSecond);
    p.bits[1] = ~0ul;
    p.sync();
    p.send_all();
    CHECK(p.plan->advance(p.now) == PrecopyStep::wait);
    CHECK(p.plan->sync_in(p.now) == 0);
    CHECK(p.bits[1] == ~0ul);
}

TEST_CASE("an old plan asks for a sync before it lets written pages in") {
    Planned p;
    p.look(2);
    p.bits[2] = ~0ul;
    p.sync();
    p.now += 300 * kMilli;
    CHECK(p.next() == kPages);
    CHECK(p.plan->advance(p.now) == PrecopyStep::sync);
    CHECK(p.plan->sync_in(p.now) == 0);
}

TEST_CASE("an observer lets all pages through and says what the plan would have been worth") {
    Planned p(true);
    p.bits[0] = p.bits[1] = ~0ul;
    p.bits[3] = 1ul << 7;
    p.sync();
    CHECK(p.plan->eligible(p.waiting()) == 129);
    CHECK_FALSE(p.plan->wants_copy({0, 64}));
    CHECK(p.send_all() == 129);
    p.look(1);
    const PrecopyCounts &counts = p.plan->counts();
    CHECK(counts.sent == 129);
    // The last few it would have sent: then the guest could be stopped.
    CHECK(counts.against > 40);
    CHECK(counts.against_rewritten == counts.against);
    CHECK(counts.advised == 129 - counts.against);
    CHECK(counts.advised_rewritten == 64 - counts.against);
    CHECK(p.plan->advance(p.now) == PrecopyStep::wait);
}

TEST_CASE("a bitmap that ends within a word has no pages beyond its end") {
    Planned p;
    p.bits[3] = ~0ul;
    p.sync();
    const Waiting some{0, p.bits.data(), 3 * 64 + 10};
    CHECK(p.plan->eligible(some) == 10);
    CHECK(p.plan->due(some) == 10);
    CHECK(p.plan->next(some, 3 * 64 + 9) == 3 * 64 + 9);
    CHECK(p.plan->next(some, 3 * 64 + 10) == some.pages);
}

TEST_CASE("a page is unchanged only if the destination has just these bytes") {
    Planned p;
    const PageName page{0, 70};
    CHECK_FALSE(p.plan->unchanged(page, hash(1)));
    p.plan->sent_copy(page, hash(1), p.now);
    CHECK(p.plan->unchanged(page, hash(1)));
    CHECK_FALSE(p.plan->unchanged(page, hash(2)));
    CHECK(p.plan->wants_copy(page));
    // Sent from live memory: what went there is not known, whatever the page held before or holds again.
    p.plan->sent(page, p.now);
    CHECK_FALSE(p.plan->unchanged(page, hash(1)));
    p.plan->sent_copy(page, hash(2), p.now);
    CHECK_FALSE(p.plan->unchanged(page, hash(1)));
    CHECK(p.plan->unchanged(page, hash(2)));
    CHECK(p.plan->counts().skipped == 2);
    // Its neighbours have nothing to do with it.
    CHECK_FALSE(p.plan->unchanged({0, 71}, hash(2)));
    CHECK_FALSE(p.plan->unchanged({1, 70}, hash(2)));
    CHECK_FALSE(p.plan->unchanged({0, kPages}, hash(2)));
}

TEST_CASE(
    "pages that are written silently count as nothing to send once the destination has them") {
    Planned p;
    p.bits[1] = ~0ul;
    for (std::uint64_t page = 64; page < 128; ++page) {
        p.send(page);
        p.plan->sent_copy({0, page}, hash(page), p.now);
        p.plan->unchanged({0, page}, hash(page));
        p.plan->unchanged({0, page}, hash(page));
    }
    p.bits[1] = ~0ul;
    p.look(1);
    p.sync();
    CHECK(p.plan->due(p.waiting()) == 0);
    // One turns out to have changed: it counts again, and so do its neighbours that are not known each.
    p.plan->unchanged({0, 100}, hash(1));
    p.look(1);
    p.sync();
    CHECK(p.plan->due(p.waiting()) == 1);
}

TEST_CASE("a precopy takes less than 24 bytes a page, hashes of all of them included") {
    Writes writes(0);
    constexpr std::uint64_t kMany = 1 << 18;
    writes.add_block(0, kMany);
    Precopy plan(writes, {}, 0);
    CHECK(plan.bytes() < 2 * kMany);
    for (std::uint64_t page = 0; page < kMany; ++page)
        plan.sent_copy({0, page}, hash(page), 0);
    CHECK(plan.bytes() < 18 * kMany);
}
