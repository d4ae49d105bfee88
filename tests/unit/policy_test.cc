// SPDX-License-Identifier: GPL-2.0-or-later
//
// The three policies differ where they should, and the page table refuses what its picture forbids.
#include "engine/page_table.h"
#include "engine/policy.h"

#include <catch2/catch_test_macros.hpp>
#include <vector>

using namespace tidemark;

namespace {

constexpr std::uint32_t kLimit = 320; // pages; a generation is 10 of them

// Pages that all came in once, in order of their index, a generation apart.
struct History {
    explicit History(PolicyKind kind) : policy(make_policy(kind, kLimit)) {
        for (std::uint8_t &rank : ranks) {
            rank = policy->enter(0, EnterReason::first_touch);
            pass_time();
        }
    }
    void pass_time() {
        for (std::uint32_t i = 0; i < kLimit / 32; ++i)
            policy->enter(0, EnterReason::first_touch);
    }
    void access(std::size_t page, EnterReason reason = EnterReason::refault_staged) {
        ranks[page] = policy->enter(ranks[page], reason);
        pass_time();
    }
    std::size_t coldest() const {
        std::size_t found = 0;
        for (std::size_t page = 1; page < ranks.size(); ++page)
            if (policy->coldness(ranks[page]) < policy->coldness(ranks[found]))
                found = page;
        return found;
    }
    std::unique_ptr<EvictionPolicy> policy;
    std::vector<std::uint8_t> ranks = std::vector<std::uint8_t>(4);
};

} // namespace

TEST_CASE("LRU evicts the page whose last access is oldest") {
    History history(PolicyKind::lru);
    CHECK(history.coldest() == 0);
    history.access(0);
    CHECK(history.coldest() == 1);
    history.access(1);
    history.access(2);
    CHECK(history.coldest() == 3);
}

TEST_CASE("FIFO evicts the page that came in first, however often it was used") {
    History history(PolicyKind::fifo);
    for (int i = 0; i < 5; ++i)
        history.access(0);
    CHECK(history.coldest() == 0);
    history.access(0, EnterReason::refault_stored); // it left and came back
    CHECK(history.coldest() == 1);
}

TEST_CASE("LFU evicts the page with the fewest accesses, and forgets with time") {
    History history(PolicyKind::lfu);
    history.access(0);
    history.access(0);
    history.access(1);
    history.access(3);
    CHECK(history.coldest() == 2); // used once, though not the longest ago
    while (!history.policy->ageing_due())
        history.pass_time();
    CHECK(history.policy->age(200) == 100);
    CHECK_FALSE(history.policy->ageing_due());
}

TEST_CASE("what came in unasked leaves before what was used") {
    for (const PolicyKind kind : {PolicyKind::lru, PolicyKind::lfu}) {
        History history(kind);
        history.access(0);
        const std::uint8_t unasked = history.policy->enter(0, EnterReason::unasked);
        CHECK(history.policy->coldness(unasked) < history.policy->coldness(history.ranks[0]));
    }
}

TEST_CASE("pages keep to the transitions of the picture") {
    CHECK(transition_allowed(PageState::untouched, PageState::filling));
    CHECK(transition_allowed(PageState::writing, PageState::stored));
    CHECK(transition_allowed(PageState::loading, PageState::held));
    CHECK_FALSE(transition_allowed(PageState::resident, PageState::stored)); // never unwritten
    CHECK_FALSE(transition_allowed(PageState::resident, PageState::untouched));
    CHECK_FALSE(transition_allowed(PageState::held, PageState::resident)); // never unverified
    CHECK_FALSE(transition_allowed(PageState::staged, PageState::stored));
    CHECK_FALSE(transition_allowed(PageState::resident, PageState::remote)); // dropped first
    CHECK_FALSE(transition_allowed(PageState::remote, PageState::resident)); // not before its bytes
    // Every state can be left, or a page would be stuck in it.
    for (std::size_t from = 0; from < kPageStates; ++from) {
        bool leaves = false;
        for (std::size_t to = 0; to < kPageStates; ++to)
            leaves = leaves ||
                     transition_allowed(static_cast<PageState>(from), static_cast<PageState>(to));
        INFO(name_of(static_cast<PageState>(from)));
        CHECK(leaves);
    }
}

TEST_CASE("the page table counts its pages by state") {
    PageTable table(10);
    CHECK(table.count(PageState::untouched) == 10);
    table.set_state(PageIndex{3}, PageState::filling);
    table.set_state(PageIndex{3}, PageState::resident);
    CHECK(table.count(PageState::untouched) == 9);
    CHECK(table.count(PageState::resident) == 1);
    CHECK(table.bytes() == 10 * 17 + sizeof(RegionEntry));
}
