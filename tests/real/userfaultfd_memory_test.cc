// SPDX-License-Identifier: GPL-2.0-or-later
//
// GuestMemory on the kernel's own userfaultfd, and what only the kernel does: huge pages, real pins,
// refusals.
#include "support/page_buffer.h"
#include "sys/guest_memory.h"

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <liburing.h>
#include <optional>
#include <sstream>
#include <sys/mman.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>

namespace tidemark::test {

constexpr std::size_t kHuge = std::size_t{2} << 20;

// Private anonymous memory aligned to 2 MiB.
class Mapping {
  public:
    explicit Mapping(std::size_t bytes) : map_bytes_(bytes + kHuge) {
        void *map =
            mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED)
            std::abort();
        map_ = static_cast<std::byte *>(map);
        const std::size_t past = reinterpret_cast<std::uintptr_t>(map_) % kHuge;
        bytes_ = map_ + (past == 0 ? 0 : kHuge - past);
    }
    ~Mapping() { munmap(map_, map_bytes_); }
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;
    std::byte *page(std::uint32_t index) { return bytes_ + bytes_of(index); }

  private:
    std::size_t map_bytes_;
    std::byte *map_ = nullptr;
    std::byte *bytes_ = nullptr;
};

// Pins pages the way a device's I/O does: a registered buffer of io_uring holds them until it is freed.
class Pin {
  public:
    explicit Pin(std::byte *page) {
        if (io_uring_queue_init(1, &ring_, 0) != 0)
            std::abort();
        const iovec buffer{page, kPageSize};
        if (io_uring_register_buffers(&ring_, &buffer, 1) != 0)
            std::abort();
    }
    ~Pin() {
        io_uring_unregister_buffers(&ring_);
        io_uring_queue_exit(&ring_);
    }
    Pin(const Pin &) = delete;
    Pin &operator=(const Pin &) = delete;

  private:
    io_uring ring_{};
};

// Has the kernel compact memory, again and again, while it lives. Only root may; others have the moved pages aged, which
// disturbs a move too, but hardly ever.
class Compaction {
  public:
    explicit Compaction(std::byte *pages, std::size_t bytes)
        : thread_([this, pages, bytes] {
              std::ofstream compact("/proc/sys/vm/compact_memory");
              while (!stopping_)
                  if (!(compact << "1" << std::flush))
                      madvise(pages, bytes, MADV_COLD);
          }) {}
    ~Compaction() {
        stopping_ = true;
        thread_.join();
    }
    Compaction(const Compaction &) = delete;
    Compaction &operator=(const Compaction &) = delete;

  private:
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

// A page that is just being migrated is busy for a moment.
template <typename Move> void move_patiently(PageRun run, Move move) {
    while (run.count != 0) {
        const RunResult result = move(run);
        INFO("page " << run.first.value + result.done);
        REQUIRE((result.error == 0 || result.error == EBUSY || result.error == EAGAIN));
        run = {run.first.next(result.done), run.count - result.done};
    }
}

// Bytes of [start, start + bytes) that are mapped as huge pages; nothing where the kernel has them
// switched off.
std::optional<std::size_t> huge_bytes(const std::byte *start, std::size_t bytes) {
    std::string setting;
    std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), setting);
    if (setting.empty() || setting.find("[never]") != std::string::npos)
        return std::nullopt;
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    std::ifstream smaps("/proc/self/smaps");
    std::size_t sum = 0;
    bool inside = false;
    for (std::string line; std::getline(smaps, line);) {
        std::istringstream words(line);
        std::uintptr_t first = 0, end = 0;
        char dash = 0;
        if (words >> std::hex >> first >> dash >> end && dash == '-')
            inside = first < address + bytes && end > address;
        std::size_t kib = 0;
        if (inside && line.starts_with("AnonHugePages:") &&
            std::istringstream(line.substr(14)) >> kib)
            sum += kib << 10;
    }
    return sum;
}

class MemoryRig {
  public:
    MemoryRig() {
        auto made = make_userfaultfd_memory("test", mapping_.page(0), kRigPages);
        if (!made || !(*made)->arm()) {
            std::fprintf(stderr, "%s\n", made ? "arm() failed" : made.error().sentence.c_str());
            std::abort();
        }
        memory_ = std::move(*made);
        // In the build folder, which is on a real disk.
        auto disk =
            open_uring_disk(std::filesystem::current_path(), bytes_of(256), [](const auto &) {});
        if (!disk)
            std::abort();
        disk_ = std::move(*disk);
        Disk *const disks[] = {disk_.get()};
        auto service = memory_->open_service(disks, 8);
        if (!service)
            std::abort();
        service_ = std::move(*service);
    }
    Disk &disk() { return *disk_; }
    ServiceQueue &service() { return *service_; }
    std::size_t faults(std::span<FaultMessage> messages) { return service_->wait(messages).faults; }
    GuestMemory &memory() { return *memory_; }
    // Through the kernel, which faults like the thread itself but answers EFAULT instead of SIGBUS.
    bool read(std::uint32_t page, std::byte *out) {
        const iovec local{out, kPageSize};
        const iovec remote{mapping_.page(page), kPageSize};
        return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == kPageSize;
    }
    void write(std::uint32_t page, std::uint64_t salt) { fill_pattern(mapping_.page(page), salt); }
    void pin(std::uint32_t page) { pin_ = std::make_unique<Pin>(mapping_.page(page)); }
    void unpin() { pin_.reset(); }
    std::optional<int> huge_pages() {
        const auto bytes = huge_bytes(mapping_.page(0), bytes_of(kRigPages));
        return bytes ? std::optional(static_cast<int>(*bytes / kHuge)) : std::nullopt;
    }
    bool in_shadow(PageIndex page) { return in_shadow_[page.value]; }
    void set_in_shadow(PageIndex page, bool is) { in_shadow_[page.value] = is; }

  private:
    static constexpr std::uint32_t kRigPages = 1024;
    Mapping mapping_{bytes_of(kRigPages)};
    std::array<bool, kRigPages> in_shadow_{};
    std::unique_ptr<GuestMemory> memory_;
    std::unique_ptr<Disk> disk_;
    std::unique_ptr<ServiceQueue> service_;
    std::unique_ptr<Pin> pin_;
};

} // namespace tidemark::test

#include "unit/frame_contract.h"
#include "unit/memory_contract.h"

using namespace tidemark;
using namespace tidemark::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("userfaultfd is permitted here") {
    const Result<void> probe = probe_userfaultfd();
    INFO((probe ? std::string() : probe.error().sentence));
    REQUIRE(probe);
}

TEST_CASE("what was in RAM before arming stays, and is told") {
    Mapping mapping(bytes_of(64));
    auto memory = make_userfaultfd_memory("late", mapping.page(0), 64);
    REQUIRE(memory);
    for (std::uint32_t i = 0; i < 64; i += 3)
        fill_pattern(mapping.page(i), i);
    REQUIRE((*memory)->arm());
    REQUIRE((*memory)->arm()); // again does nothing
    const auto mapped = (*memory)->mapped_pages();
    REQUIRE(mapped);
    for (std::uint32_t i = 0; i < 64; ++i)
        REQUIRE((*mapped)[i] == (i % 3 == 0));
    for (std::uint32_t i = 0; i < 64; i += 3)
        REQUIRE(has_pattern(mapping.page(i), i));
}

TEST_CASE("a huge page from before arming moves whole and in parts") {
    constexpr std::uint32_t kHugePages = 512;
    Mapping mapping(2 * kHuge);
    madvise(mapping.page(0), 2 * kHuge, MADV_HUGEPAGE);
    for (std::uint32_t i = 0; i < 2 * kHugePages; ++i)
        fill_pattern(mapping.page(i), i);
    auto memory = make_userfaultfd_memory("huge", mapping.page(0), 2 * kHugePages);
    REQUIRE(memory);
    REQUIRE((*memory)->arm());
    // The first one in parts, the second in one piece.
    require_done((*memory)->move_out(run_of(16, 32)), 32);
    require_done((*memory)->move_out(run_of(kHugePages, kHugePages)), kHugePages);
    for (std::uint32_t i = 0; i < 2 * kHugePages; ++i) {
        const bool moved = (i >= 16 && i < 48) || i >= kHugePages;
        const std::byte *at = moved ? (*memory)->shadow(PageIndex{i}) : mapping.page(i);
        REQUIRE(has_pattern(at, i));
    }
    // S gives single pages of it back, and takes them again.
    const PageRun dropped[] = {run_of(kHugePages + 5, 1), run_of(kHugePages + 9, 3)};
    REQUIRE((*memory)->drop_shadow(dropped) == 0);
    REQUIRE(has_pattern((*memory)->shadow(PageIndex{kHugePages + 6}), kHugePages + 6));
    put(**memory, kHugePages + 5, 1);
    require_done((*memory)->move_out(run_of(kHugePages + 5, 1)), 1);
}

TEST_CASE("a read-only touch before arming can still be moved out") {
    Mapping mapping(bytes_of(4));
    volatile const std::byte *touched = mapping.page(1);
    REQUIRE(*touched == std::byte{0}); // maps the shared zero page
    auto memory = make_userfaultfd_memory("zero", mapping.page(0), 4);
    REQUIRE(memory);
    REQUIRE((*memory)->arm());
    require_done((*memory)->move_out(run_of(1, 1)), 1);
    CHECK(all_zero((*memory)->shadow(PageIndex{1})));
}

// Linux 6.18 says EEXIST of pages that it has moved, where memory compaction came between: some ten times a second here.
TEST_CASE("every page that moves while memory is compacted is accounted for, and right") {
    constexpr std::uint32_t kPages = 16384, kBatch = 64, kRounds = 30;
    Mapping mapping(bytes_of(kPages));
    for (std::uint32_t i = 0; i < kPages; ++i)
        fill_pattern(mapping.page(i), i);
    auto memory = make_userfaultfd_memory("compacted", mapping.page(0), kPages);
    REQUIRE(memory);
    REQUIRE((*memory)->arm());
    const Compaction compaction(mapping.page(0), bytes_of(kPages));
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        for (std::uint32_t i = 0; i < kPages; i += kBatch)
            move_patiently(run_of(i, kBatch),
                           [&](PageRun run) { return (*memory)->move_out(run); });
        for (std::uint32_t i = round % kBatch; i < kPages; i += kBatch)
            REQUIRE(has_pattern((*memory)->shadow(PageIndex{i}), i));
        for (std::uint32_t i = 0; i < kPages; i += kBatch)
            move_patiently(run_of(i, kBatch),
                           [&](PageRun run) { return (*memory)->move_shadow_in(run, run.first); });
    }
    for (std::uint32_t i = 0; i < kPages; ++i)
        REQUIRE(has_pattern(mapping.page(i), i));
}

TEST_CASE("memory that someone else registered is refused with a sentence") {
    Mapping mapping(bytes_of(4));
    auto first = make_userfaultfd_memory("one", mapping.page(0), 4);
    auto second = make_userfaultfd_memory("two", mapping.page(0), 4);
    REQUIRE((first && second));
    REQUIRE((*first)->arm());
    const Result<void> refused = (*second)->arm();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == EBUSY);
    CHECK_THAT(refused.error().sentence, ContainsSubstring("'two'"));
}

TEST_CASE("addresses that can't be guest RAM are refused") {
    Mapping mapping(bytes_of(4));
    CHECK_FALSE(make_userfaultfd_memory("odd", mapping.page(0) + 1, 4));
    CHECK_FALSE(make_userfaultfd_memory("none", nullptr, 4));
    CHECK_FALSE(make_userfaultfd_memory("empty", mapping.page(0), 0));
}

TEST_CASE("memory whose pages can't be moved is refused when it is armed") {
    const int flags =
        GENERATE(MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED);
    void *map = mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, flags, -1, 0);
    REQUIRE(map != MAP_FAILED);
    {
        auto memory = make_userfaultfd_memory("fixed", map, 1);
        REQUIRE(memory);
        const Result<void> refused = (*memory)->arm();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == EINVAL);
        CHECK_THAT(refused.error().sentence, ContainsSubstring("private anonymous memory"));
        // Not left registered: a touch would wait for ever.
        static_cast<volatile std::byte *>(map)[0] = std::byte{1};
    }
    munmap(map, kPageSize);
}
