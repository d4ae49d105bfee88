// SPDX-License-Identifier: GPL-2.0-or-later
//
// Copies of the guest: every page is found where it is and left there, and a copy made while the guest runs is right
// in the end.
#include "engine/cold_reader.h"
#include "sim_machine.h"
#include "support/sanitizers.h"

#include <array>
#include <atomic>
#include <numeric>

namespace tidemark::sim {
namespace {

constexpr std::uint32_t kBatch = 32;

std::unique_ptr<ColdReader> open_reader(Machine &machine, std::uint32_t pages = kBatch) {
    auto reader = ColdReader::open(*machine.backend, pages);
    REQUIRE(reader);
    return std::move(*reader);
}

std::vector<PageIndex> pages_from(std::uint32_t first, std::uint32_t count) {
    std::vector<PageIndex> pages;
    for (std::uint32_t i = 0; i < count; ++i)
        pages.push_back(PageIndex{first + i});
    return pages;
}

PageIndex stored_page(Machine &machine) {
    for (std::uint32_t p = 0;; ++p) {
        REQUIRE(p < machine.backend->pages());
        if (!machine.memory->guest_present(PageIndex{p}) &&
            !machine.memory->shadow_present(PageIndex{p}))
            return PageIndex{p};
    }
}

// One page, by itself: 0 and its bytes, or the errno. Found in R: read there, as QEMU would.
int read_one(Machine &machine, ColdReader &reader, PageIndex page,
             std::array<std::byte, kPageSize> &out) {
    const std::byte *bytes = nullptr;
    if (const int error = reader.fetch({&page, 1}, {&bytes, 1}); error != 0)
        return error;
    if (bytes != nullptr)
        std::memcpy(out.data(), bytes, kPageSize);
    else if (machine.memory->touch(page, false, [&](std::span<std::byte, kPageSize> found) {
                 std::memcpy(out.data(), found.data(), kPageSize);
             }) != FakeMemory::Touch::done)
        return EHWPOISON;
    return 0;
}

// Waits until nothing moves by itself any more.
void let_settle(Machine &machine) {
    std::uint64_t before = 0;
    CHECK(eventually([&] {
        const BackendReport report = machine.backend->report();
        const std::uint64_t now = report.counters.evicted_pages + report.tiers[0].written_bytes +
                                  report.tiers[0].used + report.dram_used;
        std::this_thread::sleep_for(std::chrono::milliseconds(20)); // between two looks
        return std::exchange(before, now) == now &&
               machine.pages_in(PageState::writing) + machine.pages_in(PageState::staging) == 0;
    }));
}

TEST_CASE("a reader finds every page where it is, and leaves it there", "[sim]") {
    for (const std::uint32_t ahead : {0u, 3u}) {
        Machine machine({.pages = 2048, .guest_limit = 768, .nvme_pages = 4096, .qlc_pages = 0});
        for (std::uint32_t p = 0; p + 100 < machine.backend->pages(); ++p) // the rest: untouched
            machine.write(PageIndex{p});
        for (std::uint32_t p = 0; p < 200; p += 7)
            machine.discard(PageIndex{p});
        const auto reader = open_reader(machine);
        // Some are to wait in S.
        CHECK(eventually([&] {
            machine.prefetch({PageIndex{300}, 64},
                             {.to_dram = true, .origin = Origin::request, .confidence = 0.4F});
            let_settle(machine);
            return machine.pages_in(PageState::staged) > 0;
        }));
        const BackendReport before = machine.backend->report();
        CHECK(before.pages[static_cast<std::size_t>(PageState::stored)] > 512);
        CHECK(before.pages[static_cast<std::size_t>(PageState::staged)] > 0);
        std::uint32_t mapped = 0, bad = 0;
        for (std::uint32_t first = 0; first + kBatch <= machine.backend->pages(); first += kBatch) {
            const auto pages = pages_from(first, kBatch);
            for (std::uint32_t part = 0; part < ahead; ++part)
                reader->read_ahead(std::span(pages).subspan(std::size_t{part} * 8));
            std::array<const std::byte *, kBatch> bytes;
            REQUIRE(reader->fetch(pages, bytes) == 0);
            for (std::uint32_t i = 0; i < kBatch; ++i) {
                mapped += bytes[i] == nullptr ? 1u : 0u;
                CHECK((bytes[i] == nullptr) == machine.memory->guest_present(pages[i]));
                if (bytes[i] != nullptr &&
                    !machine.matches(pages[i],
                                     std::span<const std::byte, kPageSize>(bytes[i], kPageSize)))
                    ++bad;
            }
        }
        CHECK(bad == 0);
        CHECK(mapped > 0);
        const BackendReport after = machine.backend->report();
        CHECK(after.pages == before.pages);
        CHECK(after.counters.faults == before.counters.faults);
        CHECK(after.counters.promoted_pages == 0);
        CHECK(after.dram_used == before.dram_used);
        CHECK(after.tiers[0].read_bytes > before.tiers[0].read_bytes);
        CHECK(machine.count_bad() == 0);
    }
}

TEST_CASE("a reader's buffers count as DRAM while it lives", "[sim]") {
    Machine machine({});
    const std::uint64_t before = machine.backend->report().dram_used;
    {
        const auto reader = open_reader(machine, 64);
        CHECK(machine.backend->report().dram_used == before + bytes_of(64));
        machine.write_all();
        CHECK(
            eventually([&] { return machine.memory->dram_pages() + 64 <= machine.guest_limit(); }));
    }
    CHECK(machine.backend->report().dram_used <= bytes_of(machine.guest_limit()) + before);
    CHECK(machine.count_bad() == 0);
}

TEST_CASE("what was read ahead is not handed out once the page has changed", "[sim]") {
    Machine machine({.nvme_pages = 4096, .qlc_pages = 0});
    machine.write_all();
    CHECK(eventually([&] { return machine.pages_in(PageState::stored) > 512; }));
    const auto reader = open_reader(machine);
    const PageIndex page = stored_page(machine);
    std::array<std::byte, kPageSize> bytes;
    for (int round = 0; round < 3; ++round) {
        // What a caller still has is not read again.
        CHECK(read_one(machine, *reader, PageIndex{page.value ^ 1}, bytes) == 0);
        CHECK(eventually([&] {
            machine.write_all();
            return !machine.memory->guest_present(page) && !machine.memory->shadow_present(page);
        }));
        const std::uint64_t read = machine.disks[0]->reads();
        reader->read_ahead({&page, 1});
        CHECK(eventually([&] {
            reader->read_ahead({&page, 1}); // takes in what has been read
            return machine.disks[0]->reads() > read;
        }));
        machine.write(page);
        if (round > 0) // gone again: in a slot, maybe the same one, with other bytes
            CHECK(eventually([&] {
                machine.write_all();
                return !machine.memory->guest_present(page) &&
                       !machine.memory->shadow_present(page);
            }));
        CHECK(read_one(machine, *reader, page, bytes) == 0);
        CHECK(machine.matches(page, bytes));
    }
    machine.discard(page);
    CHECK(read_one(machine, *reader, page, bytes) == 0);
    CHECK(machine.matches(page, bytes));
}

TEST_CASE("a reader reads a bad page again, and says so if it stays bad", "[sim]") {
    Machine machine({.nvme_pages = 4096, .qlc_pages = 0});
    machine.write_all();
    CHECK(eventually([&] { return machine.pages_in(PageState::stored) > 512; }));
    const auto reader = open_reader(machine);
    let_settle(machine);
    const PageIndex page = stored_page(machine);
    for (std::uint64_t offset = 0; offset < bytes_of(4096); offset += kPageSize)
        machine.disks[0]->fail_reads_at(offset, EIO, 2);
    std::array<std::byte, kPageSize> bytes;
    CHECK(read_one(machine, *reader, page, bytes) == 0);
    CHECK(machine.matches(page, bytes));
    for (std::uint64_t offset = 0; offset < bytes_of(4096); offset += kPageSize)
        machine.disks[0]->corrupt(offset);
    const std::uint64_t held = machine.pages_in(PageState::held);
    CHECK(read_one(machine, *reader, page, bytes) == EBADMSG);
    CHECK(machine.pages_in(PageState::held) == held); // nobody waits for it
    CHECK(machine.backend->report().tiers[0].checksum_errors >= Loader::kAttempts);
}

// What a migration does: takes a page's dirty mark first, then its bytes; until nothing is marked any more.
class Copier {
  public:
    explicit Copier(Machine &machine)
        : machine_(machine), dirty_(machine.backend->pages()), copy_(machine.backend->pages()),
          reader_(open_reader(machine)) {
        for (std::atomic<bool> &mark : dirty_)
            mark = true;
    }
    void write(PageIndex page) { // by the guest's thread
        machine_.write(page);
        dirty_[page.value] = true;
    }
    void discard(PageIndex page) {
        machine_.discard(page);
        dirty_[page.value] = true;
    }
    void round() {
        std::vector<PageIndex> ahead;
        for (std::uint32_t p = 0; p < copy_.size(); ++p) {
            if (!dirty_[p])
                continue;
            if (p % 16 == 0) {
                ahead.clear();
                for (std::uint32_t next = p; next < copy_.size() && ahead.size() < 48; ++next)
                    if (dirty_[next])
                        ahead.push_back(PageIndex{next});
                reader_->read_ahead(ahead);
            }
            dirty_[p] = false;
            if (read_one(machine_, *reader_, PageIndex{p}, copy_[p]) != 0)
                dirty_[p] = true; // the disk failed three times: later
        }
    }
    bool done() const {
        return std::none_of(dirty_.begin(), dirty_.end(),
                            [](const auto &mark) { return mark.load(); });
    }
    std::uint32_t count_bad() const {
        std::uint32_t bad = 0;
        for (std::uint32_t p = 0; p < copy_.size(); ++p)
            bad += machine_.matches(PageIndex{p}, copy_[p]) ? 0u : 1u;
        return bad;
    }

  private:
    Machine &machine_;
    std::vector<std::atomic<bool>> dirty_;
    std::vector<std::array<std::byte, kPageSize>> copy_;
    std::unique_ptr<ColdReader> reader_;
};

void copy_while_running(std::uint64_t seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    Machine machine(
        {.pages = 900, .guest_limit = 200, .nvme_pages = 512, .qlc_pages = 6144, .seed = seed});
    machine.write_all();
    machine.memory->set_error_chance(FakeMemory::Call::move_out, EAGAIN, 20);
    for (const auto &disk : machine.disks)
        disk->set_chances({.read_error = 20, .bit_flip = 20, .not_yet = 200});
    Copier copier(machine);
    std::atomic<std::uint32_t> running{2};
    std::vector<std::thread> guests;
    for (std::uint32_t self = 0; self < 2; ++self)
        guests.emplace_back([&, self] {
            std::mt19937_64 own(seed * 10 + self);
            for (int i = 0; i < 1500; ++i) {
                const PageIndex page{static_cast<std::uint32_t>(own() % 450) * 2 + self};
                if (own() % 20 == 0)
                    copier.discard(page);
                else
                    copier.write(page);
            }
            --running;
        });
    std::atomic<bool> stop{false};
    std::thread oper([&] {
        while (!stop) {
            machine.backend->resolve({PageIndex{0}, machine.backend->pages()}, true);
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    while (running != 0)
        copier.round();
    for (std::thread &guest : guests)
        guest.join();
    // The guest stands still, as for the last stage.
    CHECK(eventually([&] {
        copier.round();
        return copier.done();
    }));
    stop = true;
    oper.join();
    CHECK(copier.count_bad() == 0);
    CHECK(machine.backend->report().counters.demoted_pages > 0); // it went on meanwhile
}

TEST_CASE("a copy made while the guest runs is right in the end", "[sim]") {
    for (std::uint64_t seed = 1; seed <= (test::kSanitized ? 4 : 10); ++seed)
        copy_while_running(seed);
}

} // namespace
} // namespace tidemark::sim
