// SPDX-License-Identifier: GPL-2.0-or-later
//
// The whole library through its C interface on real userfaultfd and real files: several threads fill,
// rewrite and check far more memory than the limit allows.
#include "support/sanitizers.h"
#include "tidemark.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::size_t kWords = TIDEMARK_PAGE_SIZE / 8;

// Guest RAM, and a backend over it.
class Block {
  public:
    Block(std::uint64_t size, std::uint64_t limit, tidemark_policy policy) : size_(size) {
        host_ =
            static_cast<std::uint64_t *>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        REQUIRE(host_ != MAP_FAILED);
        REQUIRE(madvise(host_, size, MADV_DONTFORK) == 0);
        tidemark_engine_options engine_options;
        tidemark_engine_options_init(&engine_options);
        char msg[512] = "";
        REQUIRE(tidemark_engine_create(&engine_options, &engine_, msg, sizeof(msg)) == 0);
        tidemark_backend_options options;
        tidemark_backend_options_init(&options);
        options.id = "ram0";
        options.block_size = size;
        options.config.dram_limit = limit;
        options.config.policy = policy;
        options.tier_count = 2;
        options.tiers[0] = {"/var/tmp", TIDEMARK_TIER_NVME, size / 2, 0};
        options.tiers[1] = {"/var/tmp", TIDEMARK_TIER_QLC, size * 2, 0};
        const int created = tidemark_backend_create(engine_, &options, &backend, msg, sizeof(msg));
        INFO(msg);
        REQUIRE(created == 0);
        REQUIRE(tidemark_backend_attach(backend, host_, msg, sizeof(msg)) == 0);
    }
    ~Block() {
        tidemark_backend_destroy(backend);
        tidemark_engine_destroy(engine_);
        munmap(host_, size_);
    }
    std::size_t pages() const { return size_ / TIDEMARK_PAGE_SIZE; }
    void write(std::size_t page, std::uint64_t version) {
        for (std::size_t w = 0; w < kWords; ++w)
            host_[page * kWords + w] = value(page, version, w);
    }
    bool verify(std::size_t page, std::uint64_t version) const {
        for (std::size_t w = 0; w < kWords; ++w)
            if (host_[page * kWords + w] != (version == 0 ? 0 : value(page, version, w)))
                return false;
        return true;
    }
    tidemark_stats stats() const {
        tidemark_stats out;
        out.size = sizeof(out);
        REQUIRE(tidemark_backend_query(backend, &out) == 0);
        return out;
    }
    void *page_address(std::size_t page) { return &host_[page * kWords]; }

    tidemark_backend *backend = nullptr;

  private:
    static std::uint64_t value(std::size_t page, std::uint64_t version, std::size_t word) {
        return (page + 1) * 0x9e3779b97f4a7c15ull + version * 0x10001 + word;
    }
    std::uint64_t size_;
    std::uint64_t *host_ = nullptr;
    tidemark_engine *engine_ = nullptr;
};

// Anonymous memory of this process in bytes, as the kernel counts it.
std::uint64_t anonymous_bytes() {
    std::ifstream status("/proc/self/status");
    std::string word;
    while (status >> word)
        if (word == "RssAnon:") {
            std::uint64_t kib = 0;
            status >> kib;
            return kib * 1024;
        }
    return 0;
}

void hammer(Block &block, std::vector<std::uint64_t> &versions, std::size_t thread,
            std::size_t threads, std::atomic<std::uint64_t> &bad) {
    std::mt19937_64 random(thread);
    const std::size_t own = block.pages() / threads;
    for (int i = 0; i < 12000; ++i) {
        const std::size_t page = (random() % own) * threads + thread;
        bad += block.verify(page, versions[page]) ? 0u : 1u;
        if (random() % 32 == 0) {
            versions[page] = 0;
            bad += tidemark_backend_discard(block.backend, page * TIDEMARK_PAGE_SIZE,
                                            TIDEMARK_PAGE_SIZE) == 0
                       ? 0u
                       : 1u;
        } else if (random() % 2 == 0) {
            block.write(page, ++versions[page]);
        }
    }
}

void run(tidemark_policy policy, std::size_t threads) {
    constexpr std::uint64_t size = 96 * kMiB, limit = 24 * kMiB;
    const std::uint64_t before = anonymous_bytes();
    Block block(size, limit, policy);
    std::vector<std::uint64_t> versions(block.pages(), 1);
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> peak{0};
    std::thread watcher([&] {
        while (!stop) {
            peak = std::max<std::uint64_t>(peak, anonymous_bytes());
            std::this_thread::yield();
        }
    });
    for (std::size_t page = 0; page < block.pages(); ++page)
        block.write(page, 1);
    std::atomic<std::uint64_t> bad{0};
    std::vector<std::thread> hammers;
    for (std::size_t t = 0; t < threads; ++t)
        hammers.emplace_back([&, t] { hammer(block, versions, t, threads, bad); });
    for (std::thread &thread : hammers)
        thread.join();
    for (std::size_t page = 0; page < block.pages(); ++page)
        bad += block.verify(page, versions[page]) ? 0u : 1u;
    stop = true;
    watcher.join();
    CHECK(bad == 0);
    const tidemark_stats stats = block.stats();
    CHECK(stats.untouched + stats.zero + stats.resident + stats.staged + stats.stored +
              stats.in_transit + stats.held + stats.poisoned ==
          block.pages());
    CHECK(stats.metadata_bytes <= 24 * block.pages());
    // What the kernel says, with the page table, the test's versions and thread stacks allowed for.
    if (!tidemark::test::kSanitized)
        CHECK(peak - before <= limit + stats.dram_slack + stats.metadata_bytes + 4 * kMiB);
}

TEST_CASE("every byte survives on real userfaultfd", "[real]") {
    for (const tidemark_policy policy :
         {TIDEMARK_POLICY_LRU, TIDEMARK_POLICY_LFU, TIDEMARK_POLICY_FIFO})
        run(policy, policy == TIDEMARK_POLICY_LRU ? 4 : 2);
}

TEST_CASE("the limit is cut and raised under load", "[real]") {
    Block block(96 * kMiB, 96 * kMiB, TIDEMARK_POLICY_LRU);
    for (std::size_t page = 0; page < block.pages(); ++page)
        block.write(page, 1);
    CHECK_FALSE(block.stats().armed);
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> bad{0};
    std::thread load([&] {
        std::mt19937_64 random(7);
        while (!stop)
            bad += block.verify(random() % block.pages(), 1) ? 0u : 1u;
    });
    char msg[256] = "";
    tidemark_config config = block.stats().config;
    config.dram_limit = 16 * kMiB;
    CHECK(tidemark_backend_configure(block.backend, &config, TIDEMARK_CONFIG_DRAM_LIMIT, msg,
                                     sizeof(msg)) == 0);
    bool reached = false;
    for (int looks = 0; looks < 20000 && !reached; ++looks) {
        reached = block.stats().dram_used <= 16 * kMiB + block.stats().dram_slack;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(reached);
    config.dram_limit = 64 * kMiB;
    CHECK(tidemark_backend_configure(block.backend, &config, TIDEMARK_CONFIG_DRAM_LIMIT, msg,
                                     sizeof(msg)) == 0);
    config.dram_limit = 4096;
    CHECK(tidemark_backend_configure(block.backend, &config, TIDEMARK_CONFIG_DRAM_LIMIT, msg,
                                     sizeof(msg)) == -EINVAL);
    CHECK(std::string(msg) == "dram-limit is 4096 bytes; it must be at least 16 MiB");
    stop = true;
    load.join();
    CHECK(bad == 0);
}

TEST_CASE("device I/O into memory under eviction loses nothing", "[real]") {
    Block block(64 * kMiB, 16 * kMiB, TIDEMARK_POLICY_LRU);
    // A file with a known pattern, read with O_DIRECT into pages that are being evicted.
    std::string path = "/var/tmp/tidemark-test-XXXXXX";
    const int fd = mkostemp(path.data(), O_DIRECT);
    REQUIRE(fd >= 0);
    unlink(path.c_str());
    constexpr std::size_t chunk = 64;
    for (std::size_t page = 0; page < block.pages(); page += chunk) {
        for (std::size_t i = 0; i < chunk; ++i)
            block.write(page + i, 3);
        REQUIRE(pwrite(fd, block.page_address(page), chunk * TIDEMARK_PAGE_SIZE,
                       static_cast<off_t>(page * TIDEMARK_PAGE_SIZE)) ==
                static_cast<ssize_t>(chunk * TIDEMARK_PAGE_SIZE));
    }
    for (std::size_t page = 0; page < block.pages(); ++page)
        block.write(page, 4);
    std::uint64_t bad = 0;
    std::mt19937_64 random(11);
    for (int i = 0; i < 1500; ++i) {
        const std::size_t page = random() % (block.pages() / chunk) * chunk;
        REQUIRE(pread(fd, block.page_address(page), chunk * TIDEMARK_PAGE_SIZE,
                      static_cast<off_t>(page * TIDEMARK_PAGE_SIZE)) ==
                static_cast<ssize_t>(chunk * TIDEMARK_PAGE_SIZE));
        for (std::size_t k = 0; k < chunk; ++k)
            bad += block.verify(page + k, 3) ? 0u : 1u;
        block.write(page, 4); // dirty again, so that the next read has something to do
    }
    CHECK(bad == 0);
    close(fd);
}

TEST_CASE("reads without promotion see what the guest wrote", "[real]") {
    Block block(64 * kMiB, 16 * kMiB, TIDEMARK_POLICY_LRU);
    for (std::size_t page = 0; page < block.pages(); page += 2)
        block.write(page, page + 1);
    const std::uint64_t faults = block.stats().faults;
    std::vector<std::uint64_t> bytes(kWords), wanted(kWords);
    std::uint64_t bad = 0;
    for (std::size_t page = 0; page < block.pages(); ++page) {
        bad += tidemark_backend_read(block.backend, page * TIDEMARK_PAGE_SIZE, bytes.data(),
                                     TIDEMARK_PAGE_SIZE) == 0
                   ? 0u
                   : 1u;
        if (page % 2 == 1)
            bad += std::all_of(bytes.begin(), bytes.end(), [](auto w) { return w == 0; }) ? 0u : 1u;
        else
            bad +=
                bytes[5] == (page + 1) * 0x9e3779b97f4a7c15ull + (page + 1) * 0x10001 + 5 ? 0u : 1u;
    }
    CHECK(bad == 0);
    CHECK(block.stats().faults == faults);
}

} // namespace
