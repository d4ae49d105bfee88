// SPDX-License-Identifier: GPL-2.0-or-later
//
// Postcopy: the guest runs while pages are still at another host. What that host has of a page is its version
// at the start; only the guest here writes later ones.
#include "engine/postcopy.h"
#include "sim_machine.h"
#include "support/sanitizers.h"

#include <algorithm>
#include <atomic>

namespace tidemark::sim {
namespace {

constexpr std::uint64_t kSeeds = test::kSanitized ? 15 : 60;
constexpr std::uint32_t kGuestThreads = 3;

// The host the guest comes from: what it holds of each page, and what it is asked for.
struct Source {
    Machine &machine;
    std::vector<std::uint64_t> versions;
    std::atomic<int> asked{0}; // calls of wanted()

    explicit Source(Machine &m, std::uint32_t zero_every = 5)
        : machine(m), versions(m.backend->pages()) {
        for (std::uint32_t p = 0; p < versions.size(); ++p) {
            versions[p] = p % zero_every == 0 ? 0 : 1000 + p % 7;
            machine.set_version(PageIndex{p}, versions[p]);
        }
    }
    void begin() {
        REQUIRE(Postcopy::begin(*machine.backend, [this] { ++asked; }));
        REQUIRE(Postcopy::mark(*machine.backend, {PageIndex{0}, machine.backend->pages()}));
    }
    void send(PageIndex page) {
        while (machine.deliver(page, versions[page.value]) == EAGAIN)
            ;
    }
};

Setup small() {
    return {.pages = 800, .guest_limit = 140, .nvme_pages = 1024, .qlc_pages = 3072};
}

TEST_CASE("an access to a remote page waits for its bytes, and is named once", "[sim]") {
    Machine machine(small());
    Source source(machine);
    CHECK_FALSE(Postcopy::mark(*machine.backend, {PageIndex{0}, 1})); // not begun
    source.begin();
    CHECK(machine.pages_in(PageState::remote) == 800);
    CHECK_FALSE(Postcopy::begin(*machine.backend, [] {}));
    std::array<std::byte, kPageSize> bytes;
    CHECK(machine.backend->read_page(PageIndex{7}, bytes) == EAGAIN);
    CHECK_FALSE(machine.backend->known_zero(PageIndex{5}));
    bool good = false;
    std::thread guest([&] { good = machine.verify(PageIndex{7}); });
    CHECK(eventually([&] { return source.asked > 0; }));
    CHECK(Postcopy::thread_waits(*machine.backend,
                                 0)); // the simulated guest's threads have no number
    CHECK(machine.backend->report().remote_waits == 1);
    const auto wanted = Postcopy::take_wanted(*machine.backend, 64);
    REQUIRE(wanted.size() == 1);
    CHECK(wanted[0].page == PageIndex{7});
    CHECK(Postcopy::take_wanted(*machine.backend, 64).empty());
    source.send(PageIndex{8}); // another one helps nobody
    CHECK(machine.backend->report().remote_waits == 1);
    source.send(PageIndex{7});
    guest.join();
    CHECK(good);
    CHECK_FALSE(Postcopy::thread_waits(*machine.backend, 0));
    const BackendReport report = machine.backend->report();
    CHECK(report.remote_waits == 0);
    CHECK(report.counters.faults_remote == 1);
    CHECK(report.counters.remote_wait_ns > 0);
    for (std::uint32_t p = 0; p < 800; ++p)
        source.send(PageIndex{p});
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("what precopy left in a remote page is given up, wherever it is", "[sim]") {
    Machine machine(small());
    machine.write_all(); // resident, staged and stored
    for (std::uint32_t p = 0; p < 800; p += 11)
        machine.discard(PageIndex{p});
    Source source(machine);
    source.begin();
    CHECK(machine.pages_in(PageState::remote) == 800);
    CHECK(eventually([&] { return machine.memory->dram_pages() == 0; }));
    const BackendReport report = machine.backend->report();
    CHECK(report.tiers[0].used + report.tiers[1].used == 0);
    for (std::uint32_t p = 0; p < 800; ++p)
        source.send(PageIndex{p});
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("pages that nobody waits for pass DRAM by, within the limit", "[sim]") {
    Machine machine(small());
    Source source(machine);
    source.begin();
    for (std::uint32_t p = 0; p < 800; ++p)
        source.send(PageIndex{p});
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(machine.memory->dram_peak() <= machine.guest_limit());
    CHECK(machine.pages_in(PageState::stored) > 300);
    CHECK(machine.pages_in(PageState::untouched) == 160); // the zeros
    CHECK(machine.backend->report().counters.delivered_pages == 800);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a guest under no pressure is armed for postcopy", "[sim]") {
    Machine machine({.pages = 1024, .guest_limit = 2048});
    machine.write_all();
    CHECK_FALSE(machine.backend->report().armed);
    Source source(machine);
    source.begin();
    CHECK(machine.backend->report().armed);
    bool good = false;
    std::thread guest([&] { good = machine.verify(PageIndex{3}); });
    CHECK(eventually([&] { return source.asked > 0; }));
    for (std::uint32_t p = 0; p < 1024; ++p)
        source.send(PageIndex{p});
    guest.join();
    CHECK(good);
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("what the guest gives up or writes is not covered by what comes later", "[sim]") {
    Machine machine(small());
    Source source(machine);
    source.begin();
    bool good = false;
    std::thread guest([&] {
        machine.write(PageIndex{1}); // waits for the discard
        good = machine.verify(PageIndex{1});
    });
    CHECK(eventually([&] { return source.asked > 0; }));
    machine.backend->discard({PageIndex{1}, 2});
    machine.forget(PageIndex{2});
    guest.join();
    CHECK(good);
    for (int twice = 0; twice < 2; ++twice)
        for (std::uint32_t p = 0; p < 800; ++p)
            source.send(PageIndex{p});
    CHECK(machine.backend->report().counters.delivered_pages == 798);
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("without DRAM a delivery is to be tried again, and the guest waits", "[sim]") {
    Machine machine(small());
    Source source(machine, 1000);
    source.begin();
    for (const auto &disk : machine.disks)
        disk->set_chances({.no_space = 1000});
    std::uint32_t next = 0;
    while (machine.deliver(PageIndex{next}, source.versions[next]) == 0)
        REQUIRE(++next < 800);
    CHECK(machine.memory->dram_peak() <= machine.guest_limit());
    CHECK(eventually([&] { return machine.events_of(EventKind::pressure) > 0; }));
    for (const auto &disk : machine.disks)
        disk->set_chances({});
    for (; next < 800; ++next)
        source.send(PageIndex{next});
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("what has not come by the end reads as zeros, and nobody waits on", "[sim]") {
    Machine machine(small());
    Source source(machine);
    source.begin();
    for (std::uint32_t p = 0; p < 600; ++p)
        source.send(PageIndex{p});
    for (std::uint32_t p = 600; p < 800; ++p)
        machine.forget(PageIndex{p});
    bool good = false;
    std::thread guest([&] { good = machine.verify(PageIndex{700}); });
    CHECK(eventually([&] { return machine.backend->report().remote_waits == 1; }));
    CHECK(Postcopy::end(*machine.backend) == 200);
    guest.join();
    CHECK(good);
    CHECK(machine.count_bad() == 0);
    // And once more, from another host.
    Source again(machine);
    again.begin();
    for (std::uint32_t p = 0; p < 800; ++p)
        again.send(PageIndex{p});
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("a backend goes away while accesses wait for the other host", "[sim]") {
    Machine machine(small());
    Source source(machine);
    source.begin();
    std::thread guest([&] { machine.verify(PageIndex{9}); });
    CHECK(eventually([&] { return machine.backend->report().remote_waits == 1; }));
    machine.memory->give_up();
    guest.join();
}

// Guests read, write and discard; the other host sends what is asked for, and all pages in some order, many of
// them twice; kernel and disks fail.
void run_seed(std::uint64_t seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    Setup setup = small();
    setup.seed = seed;
    setup.pages = 800 + static_cast<std::uint32_t>(random() % 1000);
    setup.guest_limit = 160 + static_cast<std::uint32_t>(random() % setup.pages);
    setup.policy = static_cast<PolicyKind>(random() % 3);
    Machine machine(setup);
    if (random() % 2 == 0)
        machine.write_all();
    Source source(machine);
    source.begin();
    // A block that was not armed may have had more than the limit until now.
    REQUIRE(eventually([&] { return machine.memory->dram_pages() == 0; }));
    machine.memory->reset_dram_peak();
    const auto chance = [&random](std::uint32_t most) {
        return random() % 2 == 0 ? 0u : static_cast<std::uint32_t>(random() % most);
    };
    machine.memory->set_error_chance(FakeMemory::Call::copy_in, EAGAIN, chance(100));
    machine.memory->set_error_chance(FakeMemory::Call::move_out, EBUSY, chance(100));
    for (const auto &disk : machine.disks)
        disk->set_chances(
            {.read_error = chance(40), .write_error = chance(40), .bit_flip = chance(40)});

    std::atomic<bool> stop{false};
    std::atomic<std::uint32_t> bad{0};
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < kGuestThreads; ++t)
        threads.emplace_back([&, t] {
            std::mt19937_64 own(seed * 100 + t);
            for (int i = 0; i < 500; ++i) {
                const auto p = static_cast<std::uint32_t>(own() % (setup.pages / kGuestThreads)) *
                                   kGuestThreads +
                               t;
                switch (own() % 8) {
                case 0:
                    machine.discard(PageIndex{p});
                    break;
                case 1:
                case 2:
                case 3:
                    machine.write(PageIndex{p});
                    break;
                default:
                    bad += machine.verify(PageIndex{p}) ? 0u : 1u;
                }
            }
        });
    // A channel of its own for what is asked for, as with postcopy-preempt.
    std::thread urgent([&] {
        while (!stop) {
            for (const WantedPage &one : Postcopy::take_wanted(*machine.backend, 4))
                source.send(one.page);
            machine.backend->resolve({PageIndex{0}, setup.pages}, true);
            std::this_thread::yield();
        }
    });
    std::vector<std::uint32_t> order(setup.pages);
    for (std::uint32_t p = 0; p < setup.pages; ++p)
        order[p] = p;
    if (random() % 2 == 0)
        std::shuffle(order.begin(), order.end(), random);
    for (const std::uint32_t p : order) {
        source.send(PageIndex{p});
        if (random() % 4 == 0)
            source.send(PageIndex{static_cast<std::uint32_t>(random() % setup.pages)});
    }
    for (std::thread &thread : threads)
        thread.join();
    CHECK(Postcopy::end(*machine.backend) == 0);
    CHECK(bad == 0);
    CHECK(machine.count_bad() == 0);
    stop = true;
    urgent.join();
    CHECK(machine.memory->dram_peak() <= machine.guest_limit());
    const BackendReport report = machine.backend->report();
    CHECK(report.pages[static_cast<std::size_t>(PageState::remote)] == 0);
    CHECK(report.remote_waits == 0);
}

TEST_CASE("no page is lost or stale while pages come, whatever fails", "[sim]") {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed)
        run_seed(seed);
}

} // namespace
} // namespace tidemark::sim
