// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest on a simulated kernel and simulated disks: a Backend with real threads over FakeMemory and
// FakeDisk, and a model that knows what every page must hold.
//
// The model: page p belongs to guest thread p % threads, which alone writes, checks and discards it. A
// page at version v > 0 holds words made of (p, v); at version 0 it holds zeros.
#pragma once

#include "engine/postcopy.h"
#include "sys/fake_disk.h"
#include "sys/fake_memory.h"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace tidemark::sim {

struct Setup {
    std::uint32_t pages = 1536;
    std::uint32_t guest_limit = 384; // pages of DRAM beside the engine's own buffers
    PolicyKind policy = PolicyKind::lru;
    std::uint32_t nvme_pages = 1024; // 0 = no such tier
    std::uint32_t qlc_pages = 3072;
    std::uint64_t nvme_budget = 0, qlc_budget = 0; // bytes a day
    std::uint64_t seed = 1;
};

inline constexpr auto kBound = std::chrono::seconds(60);

class Machine {
  public:
    explicit Machine(const Setup &setup)
        : setup_(setup), fixed_pages_(Backend::buffer_pages()), versions_(setup.pages) {
        std::vector<std::unique_ptr<Tier>> tiers;
        for (const auto &[pages, tier_class] : {std::pair{setup.nvme_pages, TierClass::nvme},
                                                std::pair{setup.qlc_pages, TierClass::qlc}})
            if (pages != 0) {
                disks.push_back(
                    std::make_shared<FakeDiskState>(bytes_of(pages), setup.seed + disks.size()));
                tiers.push_back(std::make_unique<Tier>(
                    tier_class, make_fake_disk(disks.back()), bytes_of(pages),
                    tier_class == TierClass::nvme ? setup.nvme_budget : setup.qlc_budget));
            }
        BackendConfig config;
        config.dram_limit = bytes_of(setup.guest_limit + fixed_pages_);
        config.policy = setup.policy;
        Listener listener;
        listener.event = [this](const Event &event) { note(event); };
        backend = std::make_unique<Backend>("sim", config, std::move(tiers), std::move(listener));
        auto owned = std::make_unique<FakeMemory>(setup.pages, setup.seed);
        memory = owned.get();
        REQUIRE(backend->attach(std::move(owned), setup.pages));
    }
    ~Machine() {
        memory->give_up();
        backend.reset(); // its threads tell us events to the last
    }

    std::uint32_t guest_limit() const { return setup_.guest_limit; }
    void set_guest_limit(std::uint32_t pages) {
        BackendConfig config = backend->config();
        config.dram_limit = bytes_of(pages + fixed_pages_);
        TIDEMARK_CHECK(backend->configure(config)); // Catch2's own are for one thread
        setup_.guest_limit = pages;
    }

    FakeMemory::Touch write(PageIndex page) {
        const std::uint64_t version = ++versions_[page.value];
        return memory->touch(
            page, true, [&](std::span<std::byte, kPageSize> bytes) { fill(page, version, bytes); });
    }
    // True if the page holds what the model says.
    bool verify(PageIndex page) {
        bool good = false;
        const auto touch = memory->touch(page, false, [&](std::span<std::byte, kPageSize> bytes) {
            good = matches(page, bytes);
        });
        return touch == FakeMemory::Touch::done && good;
    }
    // The same of a read that promotes nothing; one that fails says so, and is no wrong byte.
    bool reads_right(PageIndex page) {
        std::array<std::byte, kPageSize> bytes;
        return backend->read_page(page, bytes) != 0 || matches(page, bytes);
    }
    bool matches(PageIndex page, std::span<const std::byte, kPageSize> bytes) const {
        std::array<std::byte, kPageSize> wanted;
        fill(page, versions_[page.value], wanted);
        return std::memcmp(wanted.data(), bytes.data(), kPageSize) == 0;
    }
    void discard(PageIndex page) {
        versions_[page.value] = 0;
        backend->discard({page, 1});
    }
    // The page as a migration brings it: new bytes, or zeros.
    Placed place(PageIndex page, Warmth warmth, bool zero = false) {
        std::array<std::byte, kPageSize> bytes;
        const std::uint64_t version = zero ? 0 : versions_[page.value] + 1;
        fill(page, version, bytes);
        const Placed placed = backend->place(page, zero ? nullptr : bytes.data(), warmth);
        if (placed == Placed::write_it)
            memory->touch(page, true, [&](std::span<std::byte, kPageSize> there) {
                std::copy(bytes.begin(), bytes.end(), there.begin());
            });
        versions_[page.value] = version;
        return placed;
    }
    void forget(PageIndex page) { versions_[page.value] = 0; }
    // As if another host's guest had written the page: its bytes come by deliver().
    void set_version(PageIndex page, std::uint64_t version) { versions_[page.value] = version; }
    int deliver(PageIndex page, std::uint64_t version) {
        std::array<std::byte, kPageSize> bytes;
        fill(page, version, bytes);
        return Postcopy::deliver(*backend, page, version == 0 ? nullptr : bytes.data());
    }
    void write_all() {
        for (std::uint32_t p = 0; p < setup_.pages; ++p)
            write(PageIndex{p});
    }
    std::uint32_t count_bad() {
        std::uint32_t bad = 0;
        for (std::uint32_t p = 0; p < setup_.pages; ++p)
            bad += verify(PageIndex{p}) ? 0u : 1u;
        return bad;
    }

    bool prefetch(PageRun run, const PrefetchTerms &terms) {
        return backend->prefetch({&run, 1}, terms).has_value();
    }
    std::uint64_t prefetched(Origin origin) {
        return backend->report().counters.prefetch.issued[index_of(origin)];
    }
    std::uint64_t pages_in(PageState state) {
        return backend->report().pages[static_cast<std::size_t>(state)];
    }
    std::size_t events_of(EventKind kind) {
        MutexLock lock(events_mutex_);
        return static_cast<std::size_t>(
            std::count_if(events_.begin(), events_.end(),
                          [kind](const Event &event) { return event.kind == kind; }));
    }

    std::vector<std::shared_ptr<FakeDiskState>> disks;
    FakeMemory *memory = nullptr;
    std::unique_ptr<Backend> backend;

  private:
    static void fill(PageIndex page, std::uint64_t version, std::span<std::byte, kPageSize> bytes) {
        for (std::size_t word = 0; word < kPageSize / 8; ++word) {
            const std::uint64_t value =
                version == 0 ? 0 : (page.value * 0x9e3779b97f4a7c15ull) ^ (version << 20) ^ word;
            std::memcpy(&bytes[word * 8], &value, 8);
        }
    }
    void note(const Event &event) {
        MutexLock lock(events_mutex_);
        events_.push_back(event);
    }

    Setup setup_;
    const std::uint32_t fixed_pages_;
    std::vector<std::uint64_t> versions_;
    Mutex events_mutex_;
    std::vector<Event> events_ TIDEMARK_GUARDED_BY(events_mutex_);
};

// Waits until condition() holds; false if it does not within the bound.
inline bool eventually(const std::function<bool()> &condition) {
    const auto end = std::chrono::steady_clock::now() + kBound;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1)); // between two looks, not instead
    }
    return true;
}

} // namespace tidemark::sim
