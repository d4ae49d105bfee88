// SPDX-License-Identifier: GPL-2.0-or-later
//
// The fake disk does what the real one does, and fails when told to.
#include "sys/fake_disk.h"
#include "unit/disk_contract.h"

#include <cerrno>
#include <future>
#include <thread>

using namespace tidemark;
using namespace tidemark::test;

namespace {

struct Rig {
    std::shared_ptr<FakeDiskState> state = std::make_shared<FakeDiskState>(bytes_of(2048), 42);
    std::unique_ptr<Disk> disk = make_fake_disk(state);
    std::unique_ptr<IoQueue> queue = std::move(*disk->open_queue(8));
    PageBuffer buffer{8};

    std::int64_t io(bool write, std::uint32_t page, std::uint32_t count) {
        IoRequest request = make_request(write, bytes_of(page), buffer.page(0), count);
        return run_one(*queue, request);
    }
};

} // namespace

TEST_CASE("the fake disk keeps the contract of a disk") {
    Rig rig;
    check_disk_contract(*rig.disk);
}

TEST_CASE("scripted errors hit the page they name, so many times") {
    Rig rig;
    rig.state->fail_reads_at(bytes_of(3), EIO, 2);
    CHECK(rig.io(false, 0, 3) > 0);
    CHECK(rig.io(false, 0, 8) == -EIO);
    CHECK(rig.io(false, 3, 1) == -EIO);
    CHECK(rig.io(false, 3, 1) > 0);
    rig.state->fail_writes(ENOSPC, 1);
    CHECK(rig.io(true, 100, 1) == -ENOSPC);
    CHECK(rig.io(true, 100, 1) > 0);
    rig.state->fail_writes_at(bytes_of(7), EIO, 1);
    CHECK(rig.io(true, 6, 1) > 0);
    CHECK(rig.io(true, 7, 1) == -EIO);
    CHECK(rig.state->injected() == 4);
}

TEST_CASE("bit flips, lost and torn writes show in the bytes only") {
    Rig rig;
    fill_pattern(rig.buffer.page(0), 1);
    REQUIRE(rig.io(true, 0, 1) > 0);
    FakeDiskState::Chances chances;
    chances.bit_flip = 1000;
    rig.state->set_chances(chances);
    CHECK(rig.io(false, 0, 1) > 0);
    CHECK_FALSE(has_pattern(rig.buffer.page(0), 1));
    rig.state->set_chances({});
    CHECK(rig.io(false, 0, 1) > 0);
    CHECK(has_pattern(rig.buffer.page(0), 1));

    chances = {};
    chances.lost_write = 1000;
    rig.state->set_chances(chances);
    fill_pattern(rig.buffer.page(0), 2);
    CHECK(rig.io(true, 0, 1) > 0);
    rig.state->set_chances({});
    CHECK(rig.io(false, 0, 1) > 0);
    CHECK(has_pattern(rig.buffer.page(0), 1));

    rig.state->corrupt(0);
    CHECK(rig.io(false, 0, 1) > 0);
    CHECK_FALSE(has_pattern(rig.buffer.page(0), 1));
}

TEST_CASE("the same seed fails at the same requests") {
    auto run = [] {
        Rig rig;
        FakeDiskState::Chances chances;
        chances.read_error = 300;
        rig.state->set_chances(chances);
        std::vector<bool> failed;
        for (int i = 0; i < 200; ++i)
            failed.push_back(rig.io(false, 0, 1) < 0);
        return failed;
    };
    const std::vector<bool> first = run();
    CHECK(first == run());
    const auto failures = std::count(first.begin(), first.end(), true);
    CHECK((failures > 30 && failures < 90));
}

TEST_CASE("a held disk finishes nothing until it is let go") {
    Rig rig;
    rig.state->hold();
    IoRequest request = make_request(false, 0, rig.buffer.page(0), 1);
    IoRequest *returned = nullptr;
    std::promise<bool> found;
    std::thread waiter([&] {
        IoRequest *one[] = {&request};
        rig.queue->submit(one);
        found.set_value(rig.queue->try_one() != nullptr);
        returned = rig.queue->wait_one();
    });
    CHECK_FALSE(found.get_future().get());
    CHECK(rig.state->reads() == 0);
    rig.state->let_go();
    waiter.join();
    CHECK(returned == &request);
    CHECK(rig.state->reads() == 1);
}

TEST_CASE("a request that has not finished yet is returned later") {
    Rig rig;
    FakeDiskState::Chances chances;
    chances.not_yet = 700;
    rig.state->set_chances(chances);
    IoRequest request = make_request(false, 0, rig.buffer.page(0), 1);
    IoRequest *one[] = {&request};
    int waited = 0;
    for (int i = 0; i < 100; ++i) {
        rig.queue->submit(one, Start::with_wait);
        for (; rig.queue->try_one() == nullptr; ++waited)
            REQUIRE(rig.queue->in_flight() == 1);
    }
    CHECK(waited > 100);
}
