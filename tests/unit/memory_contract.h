// SPDX-License-Identifier: GPL-2.0-or-later
//
// What every GuestMemory does, the real one and the fake: the test cases are the same, so that the fake
// can't drift from the kernel. The including file defines MemoryRig:
//   memory()             the GuestMemory, armed, kPages pages, all absent
//   read(page, out)      what a vCPU reads, waiting for the page; false = memory error
//   write(page, salt)    a vCPU writes a pattern, waiting for the page
//   pin(page), unpin()   as a device does during I/O
#pragma once

#include "support/page_buffer.h"
#include "sys/guest_memory.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <thread>

namespace tidemark::test {

inline constexpr std::uint32_t kPages = 1024;

inline PageRun run_of(std::uint32_t first, std::uint32_t count) {
    return {PageIndex{first}, count};
}

inline void require_done(RunResult result, std::uint32_t count) {
    REQUIRE(result.error == 0);
    REQUIRE(result.done == count);
}

// Maps pages [first, first + count) with the pattern of their number.
inline void put(GuestMemory &memory, std::uint32_t first, std::uint32_t count) {
    PageBuffer bytes(count);
    for (std::uint32_t i = 0; i < count; ++i)
        fill_pattern(bytes.page(i), first + i);
    require_done(memory.copy_in(run_of(first, count), bytes.page(0)), count);
}

inline bool all_zero(const std::byte *page) {
    return std::all_of(page, page + kPageSize, [](std::byte b) { return b == std::byte{0}; });
}

TEST_CASE("a run that is moved out leaves R and is whole in S") {
    MemoryRig rig;
    put(rig.memory(), 10, 20);
    require_done(rig.memory().move_out(run_of(10, 20)), 20);
    const auto mapped = rig.memory().mapped_pages();
    REQUIRE(mapped);
    CHECK(std::find(mapped->begin(), mapped->end(), true) == mapped->end());
    for (std::uint32_t i = 10; i < 30; ++i)
        REQUIRE(has_pattern(rig.memory().shadow(PageIndex{i}), i));
    // And back, the way a refault goes.
    require_done(rig.memory().copy_in(run_of(10, 20), rig.memory().shadow(PageIndex{10})), 20);
    PageBuffer out(1);
    for (std::uint32_t i = 10; i < 30; ++i) {
        REQUIRE(rig.read(i, out.page(0)));
        REQUIRE(has_pattern(out.page(0), i));
    }
}

TEST_CASE("a page may come to S by a copy, and R knows nothing of it") {
    MemoryRig rig;
    put(rig.memory(), 12, 1); // something else is mapped, so that the memory is armed and in use
    PageBuffer bytes(8);
    for (std::uint32_t i = 0; i < 8; ++i)
        fill_pattern(bytes.page(i), 40 + i);
    require_done(rig.memory().copy_shadow(run_of(40, 8), bytes.page(0)), 8);
    for (std::uint32_t i = 40; i < 48; ++i)
        REQUIRE(has_pattern(rig.memory().shadow(PageIndex{i}), i));
    const auto mapped = rig.memory().mapped_pages();
    REQUIRE(mapped);
    CHECK(std::count(mapped->begin(), mapped->end(), true) == 1);
    const RunResult again = rig.memory().copy_shadow(run_of(39, 2), bytes.page(0));
    CHECK(again.done == 1);
    CHECK(again.error == EEXIST);
}

TEST_CASE("EEXIST: the destination is there; the pages before it are done") {
    MemoryRig rig;
    put(rig.memory(), 5, 1);
    PageBuffer bytes(8);
    RunResult result = rig.memory().copy_in(run_of(0, 8), bytes.page(0));
    CHECK(result.done == 5);
    CHECK(result.error == EEXIST);
    result = rig.memory().zero_in(run_of(5, 1));
    CHECK(result.done == 0);
    CHECK(result.error == EEXIST);
    // S still holds an older copy.
    put(rig.memory(), 40, 4);
    require_done(rig.memory().move_out(run_of(42, 1)), 1);
    put(rig.memory(), 42, 1);
    result = rig.memory().move_out(run_of(40, 4));
    CHECK(result.done == 2);
    CHECK(result.error == EEXIST);
    const PageRun stale[] = {run_of(42, 1)};
    CHECK(rig.memory().drop_shadow(stale) == 0);
    require_done(rig.memory().move_out(run_of(42, 2)), 2);
}

TEST_CASE("ENOENT: a hole can't be moved; the pages before it are done") {
    MemoryRig rig;
    put(rig.memory(), 0, 3);
    const RunResult result = rig.memory().move_out(run_of(0, 8));
    CHECK(result.done == 3);
    CHECK(result.error == ENOENT);
    CHECK(has_pattern(rig.memory().shadow(PageIndex{2}), 2));
}

TEST_CASE("EBUSY: a page that a device uses stays where it is") {
    MemoryRig rig;
    put(rig.memory(), 20, 8);
    rig.pin(24);
    RunResult result = rig.memory().move_out(run_of(20, 8));
    CHECK(result.done == 4);
    CHECK(result.error == EBUSY);
    PageBuffer out(1);
    REQUIRE(rig.read(24, out.page(0)));
    CHECK(has_pattern(out.page(0), 24));
    rig.unpin();
    require_done(rig.memory().move_out(run_of(24, 4)), 4);
    CHECK(has_pattern(rig.memory().shadow(PageIndex{24}), 24));
}

TEST_CASE("an access to an absent page waits until the page is mapped") {
    MemoryRig rig;
    PageBuffer out(1);
    bool ok = false;
    std::thread vcpu([&] { ok = rig.read(77, out.page(0)); });
    std::array<FaultMessage, 4> faults;
    REQUIRE(rig.faults(faults) == 1);
    CHECK(faults[0].page == PageIndex{77});
    CHECK_FALSE(faults[0].in_shadow);
    CHECK_FALSE(faults[0].write);
    put(rig.memory(), 77, 1);
    vcpu.join();
    CHECK(ok);
    CHECK(has_pattern(out.page(0), 77));
}

TEST_CASE("a write that waited sees and keeps its page") {
    MemoryRig rig;
    std::thread vcpu([&] { rig.write(9, 4711); });
    std::array<FaultMessage, 1> faults;
    REQUIRE(rig.faults(faults) == 1);
    CHECK(faults[0].page == PageIndex{9});
    CHECK(faults[0].write);
    require_done(rig.memory().zero_in(run_of(9, 1)), 1);
    vcpu.join();
    PageBuffer out(1);
    REQUIRE(rig.memory().peek_guest(PageIndex{9},
                                    std::span<std::byte, kPageSize>(out.page(0), kPageSize)) == 0);
    CHECK(has_pattern(out.page(0), 4711));
}

TEST_CASE("waking without mapping makes the access fault again") {
    MemoryRig rig;
    PageBuffer out(1);
    std::thread vcpu([&] { rig.read(3, out.page(0)); });
    std::array<FaultMessage, 1> faults;
    for (int round = 0; round < 3; ++round) {
        REQUIRE(rig.faults(faults) == 1);
        CHECK(faults[0].page == PageIndex{3});
        rig.memory().wake(run_of(3, 1));
    }
    REQUIRE(rig.faults(faults) == 1);
    put(rig.memory(), 3, 1);
    vcpu.join();
    CHECK(has_pattern(out.page(0), 3));
}

TEST_CASE("zeroed pages come in runs longer than the zero buffer") {
    MemoryRig rig;
    require_done(rig.memory().zero_in(run_of(100, 50)), 50);
    PageBuffer out(1);
    for (std::uint32_t i = 100; i < 150; ++i) {
        fill_pattern(out.page(0), 1);
        REQUIRE(rig.read(i, out.page(0)));
        REQUIRE(all_zero(out.page(0)));
    }
}

TEST_CASE("a poisoned page is a memory error until it is dropped") {
    MemoryRig rig;
    require_done(rig.memory().poison(run_of(60, 2)), 2);
    PageBuffer out(1);
    CHECK_FALSE(rig.read(60, out.page(0)));
    CHECK_FALSE(rig.read(61, out.page(0)));
    put(rig.memory(), 62, 1);
    CHECK(rig.memory().poison(run_of(62, 1)).error == EEXIST);
    CHECK(rig.memory().drop_guest(run_of(60, 2)) == 0);
    put(rig.memory(), 60, 2);
    REQUIRE(rig.read(60, out.page(0)));
    CHECK(has_pattern(out.page(0), 60));
}

TEST_CASE("poisoning wakes who waits") {
    MemoryRig rig;
    PageBuffer out(1);
    bool ok = true;
    std::thread vcpu([&] { ok = rig.read(1, out.page(0)); });
    std::array<FaultMessage, 1> faults;
    REQUIRE(rig.faults(faults) == 1);
    require_done(rig.memory().poison(run_of(1, 1)), 1);
    vcpu.join();
    CHECK_FALSE(ok);
}

TEST_CASE("many runs of S are dropped in one call, holes among them") {
    MemoryRig rig;
    put(rig.memory(), 0, kPages);
    require_done(rig.memory().move_out(run_of(0, kPages)), kPages);
    std::vector<PageRun> even;
    for (std::uint32_t i = 0; i < kPages; i += 2)
        even.push_back(run_of(i, 1));
    REQUIRE(rig.memory().drop_shadow(even) == 0);
    REQUIRE(rig.memory().drop_shadow(even) == 0);
    for (std::uint32_t i = 1; i < kPages; i += 2)
        REQUIRE(has_pattern(rig.memory().shadow(PageIndex{i}), i));
    // The dropped ones are holes now: they take a page again.
    put(rig.memory(), 0, 1);
    require_done(rig.memory().move_out(run_of(0, 1)), 1);
}

TEST_CASE("a dropped page of R faults like one never touched") {
    MemoryRig rig;
    put(rig.memory(), 8, 1);
    REQUIRE(rig.memory().drop_guest(run_of(8, 2)) == 0);
    PageBuffer out(1);
    std::thread vcpu([&] { rig.read(8, out.page(0)); });
    std::array<FaultMessage, 1> faults;
    REQUIRE(rig.faults(faults) == 1);
    require_done(rig.memory().zero_in(run_of(8, 1)), 1);
    vcpu.join();
    CHECK(all_zero(out.page(0)));
}

TEST_CASE("stopping ends the wait for faults, now and later") {
    MemoryRig rig;
    std::thread server([&] {
        std::array<FaultMessage, 4> faults;
        while (rig.faults(faults) != 0) {
        }
    });
    rig.service().stop();
    server.join();
    std::array<FaultMessage, 4> faults;
    CHECK(rig.faults(faults) == 0);
}

TEST_CASE("stopping twice, from several threads, with an access that waits") {
    MemoryRig rig;
    PageBuffer out(1);
    std::thread vcpu([&] { rig.read(5, out.page(0)); });
    std::array<FaultMessage, 1> faults;
    REQUIRE(rig.faults(faults) == 1);
    // Woken without its page it faults again, and that message is still to be read.
    rig.memory().wake(run_of(5, 1));
    std::vector<std::thread> stoppers;
    for (int i = 0; i < 2; ++i)
        stoppers.emplace_back([&] { rig.service().stop(); });
    for (std::thread &stopper : stoppers)
        stopper.join();
    CHECK(rig.faults(faults) == 0);
    put(rig.memory(), 5, 1);
    vcpu.join();
    CHECK(has_pattern(out.page(0), 5));
}

// Three pages of patterns on the rig's disk, and a read of one of them.
inline IoRequest prepare_read(MemoryRig &rig, std::uint32_t slot, PageBuffer &into) {
    PageBuffer pages(3);
    for (std::uint32_t i = 0; i < 3; ++i)
        fill_pattern(pages.page(i), 900 + i);
    IoRequest write;
    write.write = true;
    write.parts.push_back({pages.page(0), 3 * kPageSize});
    auto queue = rig.disk().open_queue(1);
    REQUIRE(queue);
    IoRequest *const one = &write;
    (*queue)->submit({&one, 1});
    REQUIRE((*queue)->wait_one() == one);
    REQUIRE(write.result == 3 * static_cast<std::int64_t>(kPageSize));
    IoRequest read;
    read.offset = bytes_of(slot);
    read.parts.push_back({into.page(0), kPageSize});
    return read;
}

TEST_CASE("faults and reads come in by one wait") {
    MemoryRig rig;
    PageBuffer out(1), bytes(1);
    IoRequest read = prepare_read(rig, 2, bytes);
    std::thread vcpu([&] { rig.read(7, out.page(0)); });
    rig.service().submit(&read);
    std::array<FaultMessage, 4> faults;
    bool fault = false, finished = false;
    while (!fault || !finished) {
        const ServiceQueue::Event event = rig.service().wait(faults);
        REQUIRE((event.faults == 1) != (event.request == &read));
        if (event.request != nullptr)
            finished = true;
        else if (fault = faults[0].page == PageIndex{7}; fault)
            put(rig.memory(), 7, 1);
    }
    vcpu.join();
    CHECK(read.result == static_cast<std::int64_t>(kPageSize));
    CHECK(has_pattern(bytes.page(0), 902));
    CHECK(has_pattern(out.page(0), 7));
}

TEST_CASE("faults for which there is no room are told the next time") {
    MemoryRig rig;
    PageBuffer out(2), bytes(1);
    std::vector<std::thread> vcpus;
    for (std::uint32_t i = 0; i < 2; ++i)
        vcpus.emplace_back([&, i] { rig.read(20 + i, out.page(i)); });
    IoRequest read = prepare_read(rig, 1, bytes);
    rig.service().submit(&read);
    CHECK(rig.service().wait({}).request == &read);
    std::array<FaultMessage, 1> fault;
    for (int i = 0; i < 2; ++i) {
        REQUIRE(rig.faults(fault) == 1);
        put(rig.memory(), fault[0].page.value, 1);
    }
    for (std::thread &vcpu : vcpus)
        vcpu.join();
    CHECK(has_pattern(bytes.page(0), 901));
    CHECK(has_pattern(out.page(0), 20));
    CHECK(has_pattern(out.page(1), 21));
}

TEST_CASE("what is in flight is given back after the stop") {
    MemoryRig rig;
    PageBuffer bytes(1);
    IoRequest read = prepare_read(rig, 0, bytes);
    rig.service().submit(&read);
    rig.service().stop();
    std::array<FaultMessage, 1> none;
    CHECK(rig.service().wait(none).request == &read);
    CHECK(has_pattern(bytes.page(0), 900));
    const ServiceQueue::Event last = rig.service().wait(none);
    CHECK((last.faults == 0 && last.request == nullptr));
}

TEST_CASE("pages move out and in while other threads write them, and no write is lost") {
    MemoryRig rig;
    constexpr std::uint32_t kHot = 16;
    constexpr std::uint64_t kRounds = 300;
    std::thread handler([&] {
        std::array<FaultMessage, 8> faults;
        while (const std::size_t count = rig.faults(faults)) {
            for (std::size_t i = 0; i < count; ++i) {
                // One handler owns S here, so a page is either in S or was never touched.
                const PageRun run{faults[i].page, 1};
                const RunResult in = rig.in_shadow(faults[i].page)
                                         ? rig.memory().copy_in(run, rig.memory().shadow(run.first))
                                         : rig.memory().zero_in(run);
                if (in.error == EEXIST) {
                    rig.memory().wake(run);
                } else {
                    rig.memory().drop_shadow(std::span(&run, 1));
                    rig.set_in_shadow(run.first, false);
                    // Back out with it at once: the worst that an evictor can do.
                    if (rig.memory().move_out(run).done == 1)
                        rig.set_in_shadow(run.first, true);
                }
            }
        }
    });
    std::atomic<int> wrong{0};
    std::vector<std::thread> vcpus;
    for (std::uint32_t v = 0; v < 2; ++v)
        vcpus.emplace_back([&, v] {
            PageBuffer out(1);
            for (std::uint64_t round = 0; round < kRounds; ++round) {
                const std::uint32_t page = v * kHot + static_cast<std::uint32_t>(round) % kHot;
                if (round >= kHot &&
                    !(rig.read(page, out.page(0)) && has_pattern(out.page(0), round - kHot)))
                    ++wrong;
                rig.write(page, round);
            }
        });
    for (std::thread &vcpu : vcpus)
        vcpu.join();
    rig.service().stop();
    handler.join();
    CHECK(wrong == 0);
}

} // namespace tidemark::test
