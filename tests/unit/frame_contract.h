// SPDX-License-Identifier: GPL-2.0-or-later
//
// What every GuestMemory does with frames and huge pages, the real one and the fake. To be included
// after memory_contract.h; MemoryRig has this besides:
//   huge_pages()   how many huge pages R has; nothing where the kernel has none to give
#pragma once

#include "sys/frame.h"
#include "unit/memory_contract.h"

namespace tidemark::test {

// A frame that is full of the patterns from salt on.
inline std::unique_ptr<Frame> full_frame(std::uint64_t salt) {
    Result<std::unique_ptr<Frame>> frame = Frame::map();
    REQUIRE(frame);
    REQUIRE((*frame)->fill() == 0);
    for (std::uint32_t i = 0; i < kFramePages; ++i)
        fill_pattern((*frame)->data() + bytes_of(i), salt + i);
    return std::move(*frame);
}

inline void require_patterns(MemoryRig &rig, std::uint32_t first, std::uint32_t count,
                             std::uint64_t salt) {
    PageBuffer out(1);
    for (std::uint32_t i = 0; i < count; ++i) {
        REQUIRE(rig.read(first + i, out.page(0)));
        REQUIRE(has_pattern(out.page(0), salt + i));
    }
}

TEST_CASE("pages of a frame move in and leave holes in the frame") {
    MemoryRig rig;
    const std::unique_ptr<Frame> frame = full_frame(500);
    require_done(rig.memory().move_in(run_of(10, 20), frame->data() + bytes_of(3)), 20);
    require_patterns(rig, 10, 20, 503);
    // The holes are filled with zeros, the rest is as it was.
    REQUIRE(frame->fill() == 0);
    for (std::uint32_t i = 0; i < kFramePages; ++i) {
        const std::byte *page = frame->data() + bytes_of(i);
        REQUIRE((i >= 3 && i < 23 ? all_zero(page) : has_pattern(page, 500 + i)));
    }
    require_done(rig.memory().move_out(run_of(10, 20)), 20);
    CHECK(has_pattern(rig.memory().shadow(PageIndex{29}), 522));
}

TEST_CASE("a page moved in wakes who waits for it; EEXIST where there is one already") {
    MemoryRig rig;
    const std::unique_ptr<Frame> frame = full_frame(0);
    PageBuffer out(1);
    std::thread vcpu([&] { rig.read(8, out.page(0)); });
    std::array<FaultMessage, 1> faults;
    REQUIRE(rig.faults(faults) == 1);
    put(rig.memory(), 9, 1);
    const RunResult result = rig.memory().move_in(run_of(6, 8), frame->data() + bytes_of(6));
    CHECK(result.done == 3);
    CHECK(result.error == EEXIST);
    vcpu.join();
    CHECK(has_pattern(out.page(0), 8));
    CHECK(has_pattern(frame->data() + bytes_of(9), 9));
    CHECK(all_zero(frame->data() + bytes_of(8)));
}

TEST_CASE("a whole frame becomes a huge page, leaves as one and comes again") {
    MemoryRig rig;
    REQUIRE(rig.memory().huge_aligned());
    for (std::uint64_t round = 0; round < 3; ++round) {
        const std::unique_ptr<Frame> frame = full_frame(round * 1000);
        const PageRun whole = run_of(kRegionPages, kRegionPages);
        require_done(rig.memory().move_in(whole, frame->data()), kRegionPages);
        CHECK(rig.huge_pages().value_or(1) == 1);
        require_patterns(rig, kRegionPages, kRegionPages, round * 1000);
        require_done(rig.memory().move_out(whole), kRegionPages);
        CHECK(rig.huge_pages().value_or(0) == 0);
        for (std::uint32_t i = 0; i < kRegionPages; ++i)
            REQUIRE(has_pattern(rig.memory().shadow(whole.first.next(i)), round * 1000 + i));
        REQUIRE(rig.memory().drop_shadow({&whole, 1}) == 0);
    }
}

TEST_CASE("a page that leaves takes the huge page apart, and no other") {
    MemoryRig rig;
    const std::unique_ptr<Frame> frame = full_frame(0);
    require_done(rig.memory().move_in(run_of(0, kRegionPages), frame->data()), kRegionPages);
    REQUIRE(rig.memory().drop_guest(run_of(7, 1)) == 0);
    CHECK(rig.huge_pages().value_or(0) == 0);
    const auto mapped = rig.memory().mapped_pages();
    REQUIRE(mapped);
    CHECK_FALSE((*mapped)[7]);
    require_patterns(rig, 0, 7, 0);
    require_patterns(rig, 8, kRegionPages - 8, 8);
}

TEST_CASE("a huge page in S is filled anew and moves in elsewhere") {
    MemoryRig rig;
    const std::unique_ptr<Frame> frame = full_frame(0);
    const PageRun second = run_of(kRegionPages, kRegionPages);
    require_done(rig.memory().move_in(second, frame->data()), kRegionPages);
    require_done(rig.memory().move_out(second), kRegionPages);
    for (std::uint32_t i = 0; i < kRegionPages; ++i)
        fill_pattern(rig.memory().shadow(second.first.next(i)), 5000 + i);
    require_done(rig.memory().move_shadow_in(run_of(0, kRegionPages), second.first), kRegionPages);
    CHECK(rig.huge_pages().value_or(1) == 1);
    require_patterns(rig, 0, kRegionPages, 5000);
    // S is empty there again.
    put(rig.memory(), kRegionPages, 1);
    require_done(rig.memory().move_out(run_of(kRegionPages, 1)), 1);
    // In pieces, and where a page is already.
    require_done(rig.memory().move_out(run_of(0, kRegionPages)), kRegionPages);
    put(rig.memory(), 700, 1);
    const RunResult result = rig.memory().move_shadow_in(run_of(690, 20), PageIndex{100});
    CHECK(result.done == 10);
    CHECK(result.error == EEXIST);
    require_patterns(rig, 690, 10, 5100);
    CHECK(has_pattern(rig.memory().shadow(PageIndex{110}), 5110));
}

} // namespace tidemark::test
