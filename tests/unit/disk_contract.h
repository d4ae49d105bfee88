// SPDX-License-Identifier: GPL-2.0-or-later
//
// What every Disk does, the real one and the fake. Included by one test file for each.
#pragma once

#include "support/page_buffer.h"
#include "sys/disk.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

namespace tidemark::test {

inline IoRequest make_request(bool write, std::uint64_t offset, std::byte *bytes,
                              std::uint32_t pages) {
    IoRequest request;
    request.write = write;
    request.offset = offset;
    request.parts.push_back({bytes, bytes_of(pages)});
    return request;
}

inline std::int64_t run_one(IoQueue &queue, IoRequest &request) {
    IoRequest *one[] = {&request};
    queue.submit(one);
    REQUIRE(queue.wait_one() == &request);
    return request.result;
}

// What is in flight is counted, and nothing is returned before it is done or twice.
inline void check_try_one(IoQueue &queue) {
    PageBuffer buffer(6);
    std::vector<IoRequest> reads;
    for (std::uint32_t i = 0; i < 6; ++i)
        reads.push_back(make_request(false, bytes_of(i), buffer.page(i), 1));
    CHECK(queue.in_flight() == 0);
    CHECK(queue.try_one() == nullptr);
    for (const Start start : {Start::now, Start::with_wait}) {
        std::vector<IoRequest *> pointers;
        for (IoRequest &request : reads)
            pointers.push_back(&request);
        queue.submit(pointers, start);
        CHECK(queue.in_flight() == 6);
        while (!pointers.empty()) {
            // Both ways of asking, mixed.
            IoRequest *done = pointers.size() % 2 == 0 ? queue.try_one() : queue.wait_one();
            if (done == nullptr)
                continue;
            CHECK(done->result == static_cast<std::int64_t>(kPageSize));
            CHECK(std::erase(pointers, done) == 1);
            CHECK(queue.in_flight() == pointers.size());
        }
        CHECK(queue.try_one() == nullptr);
    }
}

// disk holds at least kManyPages.
inline constexpr std::uint32_t kManyPages = 1100; // more pieces than the kernel takes at a time
inline void check_disk_contract(Disk &disk) {
    Result<std::unique_ptr<IoQueue>> queue = disk.open_queue(8);
    REQUIRE(queue);
    CHECK((*queue)->wait_one() == nullptr);
    PageBuffer out(kManyPages);
    PageBuffer in(kManyPages);

    // Never written: zeros.
    in.page(0)[17] = std::byte{1};
    IoRequest fresh = make_request(false, bytes_of(5), in.page(0), 1);
    CHECK(run_one(**queue, fresh) == static_cast<std::int64_t>(kPageSize));
    CHECK(std::all_of(in.page(0), in.page(1), [](std::byte b) { return b == std::byte{0}; }));

    // Far more requests than the queue is deep, every one returned once.
    std::vector<IoRequest> writes;
    for (std::uint32_t i = 0; i < kManyPages / 4; ++i) {
        for (std::uint32_t k = 0; k < 4; ++k)
            fill_pattern(out.page(i * 4 + k), i * 4 + k);
        writes.push_back(make_request(true, bytes_of(i * 4), out.page(i * 4), 4));
        writes.back().tag = i;
    }
    std::vector<IoRequest *> pointers;
    for (IoRequest &request : writes)
        pointers.push_back(&request);
    (*queue)->submit(pointers);
    std::vector<bool> seen(writes.size());
    while (IoRequest *done = (*queue)->wait_one()) {
        REQUIRE(done->result == static_cast<std::int64_t>(4 * kPageSize));
        REQUIRE_FALSE(seen[done->tag]);
        seen[done->tag] = true;
    }
    CHECK(std::find(seen.begin(), seen.end(), false) == seen.end());

    // One read scattered over many pieces.
    IoRequest scattered;
    for (std::uint32_t i = 0; i < kManyPages; ++i)
        scattered.parts.push_back({in.page(kManyPages - 1 - i), kPageSize});
    CHECK(run_one(**queue, scattered) == static_cast<std::int64_t>(bytes_of(kManyPages)));
    for (std::uint32_t i = 0; i < kManyPages; ++i)
        REQUIRE(has_pattern(in.page(kManyPages - 1 - i), i));

    // And written so, the other way round.
    IoRequest turned;
    turned.write = true;
    turned.parts = scattered.parts;
    std::reverse(turned.parts.begin(), turned.parts.end());
    CHECK(run_one(**queue, turned) == static_cast<std::int64_t>(bytes_of(kManyPages)));
    IoRequest straight = make_request(false, 0, out.page(0), kManyPages);
    CHECK(run_one(**queue, straight) == static_cast<std::int64_t>(bytes_of(kManyPages)));
    for (std::uint32_t i = 0; i < kManyPages; ++i)
        REQUIRE(has_pattern(out.page(i), kManyPages - 1 - i));
    std::reverse(turned.parts.begin(), turned.parts.end());
    CHECK(run_one(**queue, turned) == static_cast<std::int64_t>(bytes_of(kManyPages)));

    check_try_one(**queue);

    // A discarded range reads as zeros, its neighbours stay.
    REQUIRE(disk.discard(bytes_of(10), bytes_of(20)) == 0);
    IoRequest after = make_request(false, bytes_of(9), in.page(0), 22);
    CHECK(run_one(**queue, after) == static_cast<std::int64_t>(bytes_of(22)));
    CHECK(has_pattern(in.page(0), 9));
    CHECK(has_pattern(in.page(21), 30));
    CHECK(std::all_of(in.page(1), in.page(21), [](std::byte b) { return b == std::byte{0}; }));
}

} // namespace tidemark::test
