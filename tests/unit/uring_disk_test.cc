// SPDX-License-Identifier: GPL-2.0-or-later
//
// The io_uring disk on a real file system, and what its path may be.
#include "support/temp_dir.h"
#include "unit/disk_contract.h"

#include <catch2/matchers/catch_matchers_string.hpp>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace tidemark;
using namespace tidemark::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kCapacity = bytes_of(2048);

struct Warnings {
    std::vector<std::string> sentences;
    auto sink() {
        return [this](const std::string &sentence) { sentences.push_back(sentence); };
    }
};

Error open_error(const std::string &path, std::uint64_t capacity) {
    const auto disk = open_uring_disk(path, capacity, nullptr);
    REQUIRE_FALSE(disk);
    INFO(disk.error().sentence);
    CHECK_THAT(disk.error().sentence, ContainsSubstring("'" + path + "'"));
    return disk.error();
}

} // namespace

TEST_CASE("a tier in a directory leaves no name behind") {
    const TempDir dir;
    Warnings warnings;
    auto disk = open_uring_disk(dir.path(), kCapacity, warnings.sink());
    REQUIRE(disk);
    CHECK(dir.empty());
    CHECK((*disk)->size() == kCapacity);
    // Exactly one of the two: direct, or a sentence saying that it is not.
    CHECK((*disk)->direct() == warnings.sentences.empty());
    check_disk_contract(**disk);
}

TEST_CASE("a tier at a path that does not exist yet is unlinked at once") {
    const TempDir dir;
    auto disk = open_uring_disk(dir.path() / "tier", kCapacity, nullptr);
    REQUIRE(disk);
    CHECK(dir.empty());
    check_disk_contract(**disk);
}

TEST_CASE("a tier on tmpfs works, direct or with a warning") {
    Warnings warnings;
    auto disk = open_uring_disk("/dev/shm", kCapacity, warnings.sink());
    REQUIRE(disk);
    CHECK((*disk)->direct() == warnings.sentences.empty());
    check_disk_contract(**disk);
}

TEST_CASE("an existing file is refused and left alone") {
    const TempDir dir;
    const fs::path file = dir.path() / "mine";
    std::ofstream(file) << "precious";
    const Error error = open_error(file, kCapacity);
    CHECK(error.code == EEXIST);
    CHECK_THAT(error.sentence, ContainsSubstring("existing file"));
    std::string content;
    std::ifstream(file) >> content;
    CHECK(content == "precious");
}

TEST_CASE("a symbolic link is not followed to a new file") {
    const TempDir dir;
    fs::create_symlink(dir.path() / "elsewhere", dir.path() / "link");
    open_error(dir.path() / "link", kCapacity);
    CHECK_FALSE(fs::exists(dir.path() / "elsewhere"));
}

TEST_CASE("each unusable path gets a sentence") {
    const TempDir dir;
    CHECK(open_error("", kCapacity).code == EINVAL);
    const Error missing = open_error(dir.path() / "no" / "such", kCapacity);
    CHECK(missing.code == ENOENT);
    CHECK_THAT(missing.sentence, ContainsSubstring("does not exist"));
    const Error zero = open_error(dir.path(), 0);
    CHECK(zero.code == EINVAL);
    CHECK_THAT(zero.sentence, ContainsSubstring("capacity can't be 0"));
    const Error huge = open_error(dir.path(), bytes_of(std::uint64_t{1} << 50));
    CHECK(huge.code == EFBIG);
    CHECK_THAT(huge.sentence, ContainsSubstring("smaller capacity"));
    CHECK(open_error("/dev/null", kCapacity).code == EEXIST);
    CHECK(open_error("/proc", kCapacity).code != 0);
}

TEST_CASE("an error of the file system is the request's result") {
    const TempDir dir;
    auto disk = open_uring_disk(dir.path(), kCapacity, nullptr);
    REQUIRE(disk);
    auto queue = (*disk)->open_queue(4);
    REQUIRE(queue);
    PageBuffer buffer(4);
    // Reading past the end moves fewer bytes than asked for; that is never reported as success.
    IoRequest past = make_request(false, kCapacity - bytes_of(2), buffer.page(0), 4);
    CHECK(run_one(**queue, past) == -EIO);
    IoRequest beyond = make_request(false, kCapacity, buffer.page(0), 1);
    CHECK(run_one(**queue, beyond) == -EIO);
    // A buffer that is not there.
    IoRequest wild = make_request(false, 0, nullptr, 1);
    CHECK(run_one(**queue, wild) == -EFAULT);
    // The queue still works.
    IoRequest fine = make_request(false, 0, buffer.page(0), 1);
    CHECK(run_one(**queue, fine) == static_cast<std::int64_t>(kPageSize));
}

TEST_CASE("queues of several threads on one disk do not mix") {
    const TempDir dir;
    auto disk = open_uring_disk(dir.path(), kCapacity, nullptr);
    REQUIRE(disk);
    auto first = (*disk)->open_queue(4);
    auto second = (*disk)->open_queue(4);
    REQUIRE((first && second));
    PageBuffer buffer(2);
    fill_pattern(buffer.page(0), 1);
    IoRequest write = make_request(true, 0, buffer.page(0), 1);
    IoRequest *one[] = {&write};
    (*first)->submit(one);
    CHECK((*second)->wait_one() == nullptr);
    CHECK((*first)->wait_one() == &write);
    IoRequest read = make_request(false, 0, buffer.page(1), 1);
    CHECK(run_one(**second, read) == static_cast<std::int64_t>(kPageSize));
    CHECK(has_pattern(buffer.page(1), 1));
}

TEST_CASE(
    "a queue works in the thread that uses it first, and in another while nothing is in flight") {
    const TempDir dir;
    auto disk = open_uring_disk(dir.path(), kCapacity, nullptr);
    REQUIRE(disk);
    auto queue = (*disk)->open_queue(4);
    REQUIRE(queue);
    PageBuffer buffer(8);
    std::vector<std::int64_t> results;
    // Threads one after the other, whose system ids may well be the same.
    for (std::uint32_t i = 0; i < 8; ++i)
        std::thread([&, i] {
            fill_pattern(buffer.page(i), i);
            IoRequest write = make_request(true, bytes_of(i), buffer.page(i), 1);
            IoRequest *one[] = {&write};
            (*queue)->submit(one, i % 2 == 0 ? Start::now : Start::with_wait);
            if ((*queue)->wait_one() == &write)
                results.push_back(write.result);
        }).join();
    CHECK(results == std::vector<std::int64_t>(8, kPageSize));
    PageBuffer in(8);
    IoRequest read = make_request(false, 0, in.page(0), 8);
    CHECK(run_one(**queue, read) == static_cast<std::int64_t>(bytes_of(8)));
    for (std::uint32_t i = 0; i < 8; ++i)
        CHECK(has_pattern(in.page(i), i));
    // And goes away in yet another one.
    std::thread([&] { queue->reset(); }).join();
}
