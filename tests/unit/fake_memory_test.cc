// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/fake_disk.h"
#include "sys/fake_memory.h"

#include "support/page_buffer.h"

#include <optional>
#include <vector>

namespace tidemark::test {

class MemoryRig {
  public:
    MemoryRig() { (void)memory_.arm(); }
    FakeMemory &memory() { return memory_; }
    bool read(std::uint32_t page, std::byte *out) {
        return memory_.touch(PageIndex{page}, false, [&](auto bytes) {
            std::memcpy(out, bytes.data(), kPageSize);
        }) == FakeMemory::Touch::done;
    }
    void write(std::uint32_t page, std::uint64_t salt) {
        memory_.touch(PageIndex{page}, true, [&](auto bytes) { fill_pattern(bytes.data(), salt); });
    }
    void pin(std::uint32_t page) { memory_.pin(pinned_ = PageIndex{page}); }
    void unpin() { memory_.unpin(pinned_); }
    std::optional<int> huge_pages() {
        return static_cast<int>(memory_.guest_huge(PageIndex{0})) +
               static_cast<int>(memory_.guest_huge(PageIndex{kRegionPages}));
    }
    bool in_shadow(PageIndex page) { return memory_.shadow_present(page); }
    void set_in_shadow(PageIndex, bool) {}
    Disk &disk() { return *disk_; }
    ServiceQueue &service() { return *service_; }
    std::size_t faults(std::span<FaultMessage> messages) { return service_->wait(messages).faults; }

  private:
    FakeMemory memory_{1024, 1};
    std::unique_ptr<Disk> disk_ = make_fake_disk(std::make_shared<FakeDiskState>(bytes_of(256), 1));
    std::unique_ptr<ServiceQueue> service_ = open();
    std::unique_ptr<ServiceQueue> open() {
        Disk *const disks[] = {disk_.get()};
        return std::move(*memory_.open_service(disks, 8));
    }
    PageIndex pinned_;
};

} // namespace tidemark::test

#include "unit/frame_contract.h"
#include "unit/memory_contract.h"

using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("scripted errors come first and in order") {
    MemoryRig rig;
    put(rig.memory(), 0, 4);
    rig.memory().script_error(FakeMemory::Call::move_out, EAGAIN, 2);
    rig.memory().script_error(FakeMemory::Call::move_out, EBUSY);
    CHECK(rig.memory().move_out(run_of(0, 4)).error == EAGAIN);
    CHECK(rig.memory().move_out(run_of(0, 4)).error == EAGAIN);
    CHECK(rig.memory().move_out(run_of(0, 4)).error == EBUSY);
    require_done(rig.memory().move_out(run_of(0, 4)), 4);
    CHECK(rig.memory().injected_errors() == 3);
}

TEST_CASE("errors by chance stop a run half way and change nothing else") {
    MemoryRig rig;
    put(rig.memory(), 0, kPages);
    rig.memory().set_error_chance(FakeMemory::Call::move_out, EBUSY, 100);
    std::uint32_t page = 0;
    int stopped = 0;
    while (page < kPages) {
        const RunResult result = rig.memory().move_out(run_of(page, kPages - page));
        page += result.done;
        stopped += result.error == EBUSY ? 1 : 0;
    }
    CHECK(stopped > 5);
    for (std::uint32_t i = 0; i < kPages; ++i)
        REQUIRE(has_pattern(rig.memory().shadow(PageIndex{i}), i));
}

TEST_CASE("DRAM is counted over R and S") {
    MemoryRig rig;
    put(rig.memory(), 0, 10);
    CHECK(rig.memory().dram_pages() == 10);
    require_done(rig.memory().move_out(run_of(0, 10)), 10);
    CHECK(rig.memory().dram_pages() == 10);
    put(rig.memory(), 0, 4);
    CHECK(rig.memory().dram_pages() == 14);
    const PageRun all[] = {run_of(0, 10)};
    REQUIRE(rig.memory().drop_shadow(all) == 0);
    CHECK(rig.memory().dram_pages() == 4);
    CHECK(rig.memory().dram_peak() == 14);
}

TEST_CASE("giving up ends every access that waits") {
    MemoryRig rig;
    FakeMemory::Touch touch = FakeMemory::Touch::done;
    std::thread vcpu([&] { touch = rig.memory().touch(PageIndex{1}, false, [](auto) {}); });
    std::array<FaultMessage, 1> faults;
    REQUIRE(rig.faults(faults) == 1);
    rig.memory().give_up();
    vcpu.join();
    CHECK(touch == FakeMemory::Touch::stopped);
}

TEST_CASE("moving in fails when told to") {
    MemoryRig rig;
    const std::unique_ptr<Frame> frame = full_frame(0);
    rig.memory().script_error(FakeMemory::Call::move_in, EBUSY);
    CHECK(rig.memory().move_in(run_of(0, 4), frame->data()).error == EBUSY);
    rig.memory().set_error_chance(FakeMemory::Call::move_in, EAGAIN, 100);
    std::uint32_t page = 0;
    int stopped = 0;
    while (page < kRegionPages) {
        const RunResult result =
            rig.memory().move_in(run_of(page, kRegionPages - page), frame->data() + bytes_of(page));
        page += result.done;
        stopped += result.error == EAGAIN ? 1 : 0;
    }
    CHECK(stopped > 5);
    CHECK(rig.huge_pages() == 0);
    require_patterns(rig, 0, kRegionPages, 0);
}

TEST_CASE("memory that is not aligned gets no huge pages") {
    FakeMemory memory(kPages, 1);
    memory.set_huge_aligned(false);
    REQUIRE(memory.arm());
    CHECK_FALSE(memory.huge_aligned());
    const std::unique_ptr<Frame> frame = full_frame(0);
    require_done(memory.move_in(run_of(0, kRegionPages), frame->data()), kRegionPages);
    CHECK_FALSE(memory.guest_huge(PageIndex{0}));
}
