// SPDX-License-Identifier: GPL-2.0-or-later
//
// A block device as a tier: used whole, not shared, not overrun. Needs root and a loop device.
#include "unit/disk_contract.h"

#include <catch2/matchers/catch_matchers_string.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace tidemark;
using namespace tidemark::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::uint64_t kDeviceBytes = std::uint64_t{16} << 20;

// A loop device over a file that has no name any more once it is attached.
class LoopDevice {
  public:
    LoopDevice() {
        const std::string file =
            std::filesystem::current_path().string() + "/loop-" + std::to_string(getpid());
        std::ofstream(file).close();
        std::filesystem::resize_file(file, kDeviceBytes);
        path_ = output_of("losetup --find --show '" + file + "' 2>/dev/null");
        std::filesystem::remove(file);
    }
    ~LoopDevice() {
        if (!path_.empty())
            output_of("losetup --detach " + path_);
    }
    LoopDevice(const LoopDevice &) = delete;
    LoopDevice &operator=(const LoopDevice &) = delete;
    // Empty if this machine gives us none.
    const std::string &path() const { return path_; }

  private:
    static std::string output_of(const std::string &command) {
        std::string line(256, '\0');
        FILE *pipe = popen(command.c_str(), "r");
        if (pipe == nullptr)
            return {};
        const bool any = std::fgets(line.data(), static_cast<int>(line.size()), pipe) != nullptr;
        pclose(pipe);
        return any ? line.substr(0, line.find('\n')) : std::string();
    }
    std::string path_;
};

} // namespace

TEST_CASE("a block device is a tier") {
    const LoopDevice device;
    if (device.path().empty())
        SKIP("no loop device can be set up here (losetup failed)");

    SECTION("capacity 0 takes all of it") {
        auto disk = open_uring_disk(device.path(), 0, nullptr);
        REQUIRE(disk);
        CHECK((*disk)->size() == kDeviceBytes);
        check_disk_contract(**disk);
    }
    SECTION("a capacity takes so much of it") {
        auto disk = open_uring_disk(device.path(), kDeviceBytes / 2, nullptr);
        REQUIRE(disk);
        CHECK((*disk)->size() == kDeviceBytes / 2);
    }
    SECTION("a capacity beyond its size is refused") {
        const auto disk = open_uring_disk(device.path(), kDeviceBytes + kPageSize, nullptr);
        REQUIRE_FALSE(disk);
        CHECK(disk.error().code == ENOSPC);
        CHECK_THAT(disk.error().sentence, ContainsSubstring(std::to_string(kDeviceBytes)));
    }
    SECTION("two tiers can't have the same one") {
        auto first = open_uring_disk(device.path(), 0, nullptr);
        REQUIRE(first);
        const auto second = open_uring_disk(device.path(), 0, nullptr);
        REQUIRE_FALSE(second);
        CHECK(second.error().code == EBUSY);
        CHECK_THAT(second.error().sentence, ContainsSubstring("used by something else"));
    }
}
