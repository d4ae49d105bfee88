// SPDX-License-Identifier: GPL-2.0-or-later
//
// Slot allocation against a model: a plain set of live slots.
#include "store/tier.h"
#include "sys/fake_disk.h"
#include "sys/fake_random.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <set>

using namespace tidemark;

namespace {

Tier make_tier(TierClass tier_class, std::uint32_t slots) {
    auto state = std::make_shared<FakeDiskState>(bytes_of(slots), 1);
    return Tier(tier_class, make_fake_disk(state), bytes_of(slots));
}

using Model = std::set<std::uint32_t>;

void add(Model &model, SlotRun run) {
    for (std::uint32_t i = 0; i < run.count; ++i)
        REQUIRE(model.insert(run.first.value + i).second);
}

void require_same(const Tier &tier, const Model &model) {
    REQUIRE(tier.live_slots() == model.size());
    for (std::uint32_t slot = 0; slot < tier.capacity_slots(); ++slot)
        REQUIRE(tier.is_live(Slot{slot}) == model.contains(slot));
}

} // namespace

TEST_CASE("NVMe: no slot is handed out twice and all can be had") {
    const auto seed = GENERATE(range(1, 41));
    std::uint64_t random = static_cast<std::uint64_t>(seed);
    // Sizes around the word and group limits too.
    const std::uint32_t slots = 1 + static_cast<std::uint32_t>(next_random(random) % 9000);
    Tier tier = make_tier(TierClass::nvme, slots);
    Model model;
    for (int step = 0; step < 2000; ++step) {
        const std::uint64_t dice = next_random(random);
        if (dice % 3 != 0) {
            const std::uint32_t want = 1 + static_cast<std::uint32_t>(dice / 7 % 200);
            const Slot hint{dice % 2 == 0 ? static_cast<std::uint32_t>(dice / 11 % slots)
                                          : Slot::kNone};
            const std::optional<SlotRun> run = tier.allocate(want, hint);
            REQUIRE(run.has_value() == (model.size() < slots));
            if (run) {
                REQUIRE((run->count >= 1 && run->count <= want));
                REQUIRE(run->first.value + run->count <= slots);
                if (hint.valid() && !model.contains(hint.value))
                    REQUIRE(run->first == hint);
                add(model, *run);
            }
        } else if (!model.empty()) {
            auto at = model.lower_bound(static_cast<std::uint32_t>(dice / 5 % slots));
            if (at == model.end())
                at = model.begin();
            std::uint32_t first = *at;
            std::uint32_t count = 0;
            while (count < 100 && at != model.end() && *at == first + count) {
                at = model.erase(at);
                ++count;
            }
            tier.release(SlotRun{Slot{first}, count});
        }
        REQUIRE(tier.used_slots() == model.size());
    }
    require_same(tier, model);
    while (const std::optional<SlotRun> run = tier.allocate(64, Slot{}))
        add(model, *run);
    CHECK(model.size() == slots);
    CHECK(tier.used_slots() == slots);
}

TEST_CASE("NVMe: a run stays in one piece while there is room") {
    Tier tier = make_tier(TierClass::nvme, 4096);
    for (std::uint32_t expected = 0; expected < 4096 - 100; expected += 100) {
        const auto run = tier.allocate(100, Slot{});
        REQUIRE(run);
        CHECK(run->first == Slot{expected});
        CHECK(run->count == 100);
    }
}

TEST_CASE("NVMe: the only free slot of a large tier is found") {
    constexpr std::uint32_t kSlots = 1u << 20;
    Tier tier = make_tier(TierClass::nvme, kSlots);
    std::uint32_t taken = 0;
    while (const auto run = tier.allocate(4096, Slot{}))
        taken += run->count;
    REQUIRE(taken == kSlots);
    for (const std::uint32_t slot : {0u, 63u, 64u, kSlots / 2 + 17, kSlots - 1}) {
        tier.release(Slot{slot});
        const auto run = tier.allocate(8, Slot{});
        REQUIRE(run);
        CHECK(run->first == Slot{slot});
        CHECK(run->count == 1);
        CHECK_FALSE(tier.allocate(1, Slot{}));
    }
}

TEST_CASE("QLC: whole segments, which come back only when empty") {
    constexpr std::uint32_t kSegments = 70;
    Tier tier = make_tier(TierClass::qlc, kSegments * kSegmentPages + 5);
    REQUIRE(tier.capacity_slots() == kSegments * kSegmentPages);
    for (std::uint32_t i = 0; i < kSegments; ++i) {
        const auto run = tier.allocate(kSegmentPages, Slot{});
        REQUIRE(run);
        CHECK(run->count == kSegmentPages);
        CHECK(run->first.value % kSegmentPages == 0);
    }
    CHECK_FALSE(tier.allocate(kSegmentPages, Slot{}));

    const std::uint32_t first = 7 * kSegmentPages;
    tier.release(SlotRun{Slot{first}, kSegmentPages - 1});
    CHECK(tier.used_slots() == tier.capacity_slots());
    CHECK(tier.live_slots() == tier.capacity_slots() - (kSegmentPages - 1));
    CHECK_FALSE(tier.allocate(kSegmentPages, Slot{}));

    tier.release(SlotRun{Slot{20 * kSegmentPages}, 60});
    tier.release(SlotRun{Slot{30 * kSegmentPages}, 10});
    const auto sparse = tier.sparse_segments(32, 10);
    REQUIRE(sparse.size() == 2);
    CHECK(sparse[0].first == Slot{first});              // 1 live
    CHECK(sparse[1].first == Slot{20 * kSegmentPages}); // 4 live
    CHECK(tier.sparse_segments(64, 1).size() == 1);

    tier.release(Slot{first + kSegmentPages - 1});
    const auto again = tier.allocate(kSegmentPages, Slot{});
    REQUIRE(again);
    CHECK(again->first == Slot{first});
}

TEST_CASE("write sizes are counted by powers of two") {
    TierCounters counters;
    counters.count_write(4096);
    counters.count_write(3 * 4096);
    counters.count_write(64 * 4096);
    counters.count_write(std::uint64_t{1} << 30);
    CHECK(counters.write_sizes[0] == 1);
    CHECK(counters.write_sizes[1] == 1);
    CHECK(counters.write_sizes[6] == 1);
    CHECK(counters.write_sizes[kWriteSizeBuckets - 1] == 1);
    CHECK(counters.written_bytes == 4096 * 68 + (std::uint64_t{1} << 30));
}

TEST_CASE("a tier's own memory stays near a bit per slot") {
    constexpr std::uint32_t kSlots = 1u << 20;
    CHECK(make_tier(TierClass::nvme, kSlots).metadata_bytes() < kSlots / 8 * 11 / 10);
    CHECK(make_tier(TierClass::qlc, kSlots).metadata_bytes() < kSlots / 8 * 11 / 10);
}

TEST_CASE("a budget of writes holds for a day, and counts what is under way") {
    auto state = std::make_shared<FakeDiskState>(bytes_of(64), 1);
    Tier tier(TierClass::nvme, make_fake_disk(state), bytes_of(64), 3 * kPageSize);
    CHECK(tier.within_budget(0));
    tier.counters().count_write(2 * kPageSize);
    CHECK(tier.within_budget(0));
    CHECK_FALSE(tier.within_budget(0, kPageSize));
    tier.counters().count_write(4 * kPageSize); // because it had to be: counted all the same
    CHECK_FALSE(tier.within_budget(0));
    CHECK(tier.within_budget(1)); // what was written yesterday is
    tier.counters().count_write(2 * kPageSize);
    CHECK(tier.within_budget(1));
    tier.counters().count_write(kPageSize);
    CHECK_FALSE(tier.within_budget(1));
    CHECK_FALSE(tier.within_budget(0)); // a clock that goes back gives nothing away
    CHECK(tier.within_budget(9));
    Tier unbound = make_tier(TierClass::nvme, 64);
    unbound.counters().count_write(1u << 30);
    CHECK(unbound.within_budget(0, 1u << 30));
}
