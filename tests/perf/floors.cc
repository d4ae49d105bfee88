// SPDX-License-Identifier: GPL-2.0-or-later
//
// What this machine can do at best, measured beside the workloads: the floors that their figures stand on.
// Prints one JSON object. floors.py starts it.
#include "content.h"
#include "fine_histogram.h"
#include "json.h"
#include "orders.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <liburing.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace tidemark::perf;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::size_t kPiece = kMiB;       // of a sequential transfer
constexpr unsigned kSequentialThreads = 4; // each with one piece in flight
constexpr int kRandomReads = 3000;
constexpr unsigned kDeep = 32; // reads in flight: what a read-ahead can hope for
constexpr unsigned kDeepReads = 16384;

[[noreturn]] void give_up(const std::string &what) {
    std::fprintf(stderr, "floors: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(2);
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::uint64_t ns_since(Clock::time_point start) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
}

JsonObject latency_of(const FineHistogram &histogram) {
    JsonObject out;
    out.number("mean_us", histogram.mean_ns() / 1e3);
    out.number("p50_us", histogram.quantile_ns(0.5) / 1e3);
    out.number("p99_us", histogram.quantile_ns(0.99) / 1e3);
    out.number("p999_us", histogram.quantile_ns(0.999) / 1e3);
    return out;
}

class Buffer {
  public:
    explicit Buffer(std::uint64_t size, int advice = MADV_NOHUGEPAGE) : size_(size) {
        map_ = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map_ == MAP_FAILED)
            give_up("no memory");
        madvise(map_, size, advice);
    }
    ~Buffer() { munmap(map_, size_); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    char *bytes() const { return static_cast<char *>(map_); }
    std::uint64_t *page(std::size_t number) const {
        return static_cast<std::uint64_t *>(map_) + number * kPageWords;
    }

  private:
    std::uint64_t size_;
    void *map_ = nullptr;
};

// The timing itself: what each access of the workloads has on top.
FineHistogram clock_cost() {
    FineHistogram histogram;
    for (int i = 0; i < 100000; ++i) {
        const Clock::time_point start = Clock::now();
        histogram.record(ns_since(start));
    }
    return histogram;
}

// The first write to each page of fresh anonymous memory.
FineHistogram first_touch(std::uint64_t size, int advice) {
    const Buffer memory(size, advice);
    FineHistogram histogram;
    for (std::size_t page = 0; page < size / kPageBytes; ++page) {
        const Clock::time_point start = Clock::now();
        *memory.page(page) = page;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        histogram.record(ns_since(start));
    }
    return histogram;
}

// One page copied from memory that the caches do not hold.
FineHistogram page_copy(std::uint64_t size) {
    const Buffer memory(size, MADV_HUGEPAGE);
    const Buffer target(kPageBytes);
    for (std::size_t page = 0; page < size / kPageBytes; ++page)
        write_first(memory.page(page), page);
    Random random(1);
    FineHistogram histogram;
    std::uint64_t sum = 0;
    for (int i = 0; i < 20000; ++i) {
        const std::uint64_t *const from = memory.page(random.below(size / kPageBytes));
        const Clock::time_point start = Clock::now();
        std::memcpy(target.bytes(), from, kPageBytes);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        histogram.record(ns_since(start));
        sum += *target.page(0);
    }
    if (sum == 0)
        give_up("copied pages read as zero");
    return histogram;
}

// A file on the measured disk, read and written past the page cache where the file system allows that.
class DiskFile {
  public:
    DiskFile(const std::string &folder, std::uint64_t size) : size_(size) {
        std::string name = folder + "/tidemark-bench-floor-XXXXXX";
        file_ = mkostemp(name.data(), O_CLOEXEC);
        if (file_ < 0)
            give_up("no file in " + folder);
        unlink(name.c_str());
        if (posix_fallocate(file_, 0, static_cast<off_t>(size)) != 0)
            give_up("no room for the file in " + folder);
        direct_ = fcntl(file_, F_SETFL, O_DIRECT) == 0;
    }
    ~DiskFile() { close(file_); }
    DiskFile(const DiskFile &) = delete;
    DiskFile &operator=(const DiskFile &) = delete;
    bool direct() const { return direct_; }

    // Bytes per second over the whole file, several pieces in flight.
    double sequential(bool write) {
        std::atomic<std::uint64_t> next = 0;
        std::vector<std::thread> threads;
        const Clock::time_point start = Clock::now();
        for (unsigned t = 0; t < kSequentialThreads; ++t)
            threads.emplace_back([&] {
                const Buffer piece(kPiece);
                for (std::size_t page = 0; page < kPiece / kPageBytes; ++page)
                    write_first(piece.page(page), page);
                for (std::uint64_t at; (at = next.fetch_add(kPiece)) < size_;)
                    transfer(write, piece.bytes(), kPiece, at);
            });
        for (std::thread &thread : threads)
            thread.join();
        if (write)
            fdatasync(file_);
        return static_cast<double>(size_) / seconds_since(start);
    }

    // 4 KiB at random places, one at a time.
    FineHistogram random_reads() {
        const Buffer page(kPageBytes);
        Random random(2);
        FineHistogram histogram;
        for (int i = 0; i < kRandomReads; ++i) {
            const std::uint64_t at = random.below(size_ / kPageBytes) * kPageBytes;
            const Clock::time_point start = Clock::now();
            transfer(false, page.bytes(), kPageBytes, at);
            histogram.record(ns_since(start));
            if (!check_page(page.page(0), at % kPiece / kPageBytes, 1))
                give_up("the disk returned wrong bytes");
        }
        return histogram;
    }

    // The same with kDeep of them in flight: nanoseconds a read. Pages of one stride are read at this rate at best.
    double deep_random_reads() {
        const Buffer pages(kDeep * kPageBytes);
        io_uring ring;
        if (io_uring_queue_init(kDeep, &ring, 0) != 0)
            give_up("no io_uring");
        Random random(3);
        const auto submit = [&](unsigned slot) {
            io_uring_sqe *const read = io_uring_get_sqe(&ring);
            io_uring_prep_read(read, file_, pages.page(slot), kPageBytes,
                               random.below(size_ / kPageBytes) * kPageBytes);
            io_uring_sqe_set_data64(read, slot);
        };
        const Clock::time_point start = Clock::now();
        for (unsigned slot = 0; slot < kDeep; ++slot)
            submit(slot);
        for (unsigned done = 0, begun = kDeep; done < kDeepReads; ++done) {
            io_uring_submit(&ring);
            io_uring_cqe *read = nullptr;
            if (io_uring_wait_cqe(&ring, &read) != 0 || read->res != static_cast<int>(kPageBytes))
                give_up("a read from the disk failed");
            const auto slot = static_cast<unsigned>(io_uring_cqe_get_data64(read));
            io_uring_cqe_seen(&ring, read);
            if (begun < kDeepReads) {
                submit(slot);
                ++begun;
            }
        }
        const std::uint64_t ns = ns_since(start);
        io_uring_queue_exit(&ring);
        return static_cast<double>(ns) / kDeepReads;
    }

  private:
    void transfer(bool write, char *buffer, std::size_t bytes, std::uint64_t at) const {
        const auto offset = static_cast<off_t>(at);
        const ssize_t done =
            write ? pwrite(file_, buffer, bytes, offset) : pread(file_, buffer, bytes, offset);
        if (done != static_cast<ssize_t>(bytes))
            give_up(write ? "a write to the disk failed" : "a read from the disk failed");
    }

    std::uint64_t size_;
    int file_ = -1;
    bool direct_ = false;
};

} // namespace

int main(int argc, char **argv) {
    // A virtual machine's host hands out memory when it is first touched, which takes many times as long as
    // the fault itself and would fall on whichever side comes first. So it is touched before each side.
    if (argc == 3 && std::strcmp(argv[1], "--touch") == 0) {
        first_touch(static_cast<std::uint64_t>(std::atoi(argv[2])) * kMiB, MADV_HUGEPAGE);
        return 0;
    }
    if (argc != 3 || std::atoi(argv[2]) < 16) {
        std::fputs("usage: floors FOLDER MIB (at least 16), or floors --touch MIB\n", stderr);
        return 2;
    }
    const std::uint64_t size = static_cast<std::uint64_t>(std::atoi(argv[2])) * kMiB;
    JsonObject out;
    out.object("clock", latency_of(clock_cost()));
    out.object("anonymous_fault", latency_of(first_touch(size, MADV_NOHUGEPAGE)));
    out.object("anonymous_fault_huge", latency_of(first_touch(size, MADV_HUGEPAGE)));
    out.object("page_copy", latency_of(page_copy(size)));
    DiskFile disk(argv[1], size);
    disk.sequential(true); // the first time, the file system still has to lay the file out
    out.number("disk_write_bytes_per_second", disk.sequential(true));
    out.number("disk_read_bytes_per_second", disk.sequential(false));
    out.object("disk_read_4k", latency_of(disk.random_reads()));
    out.number("disk_read_4k_deep_us", disk.deep_random_reads() / 1e3);
    out.boolean("direct_io", disk.direct());
    std::printf("%s\n", out.str().c_str());
    return 0;
}
