// SPDX-License-Identifier: GPL-2.0-or-later
//
// A folder that goes with its test. Below the build folder, which is on a real disk; /tmp may be a tmpfs.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace tidemark::test {

class TempDir {
  public:
    TempDir() {
        std::string name = std::filesystem::current_path().string() + "/test-XXXXXX";
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~TempDir() { std::filesystem::remove_all(path_); }
    TempDir(const TempDir &) = delete;
    TempDir &operator=(const TempDir &) = delete;
    const std::filesystem::path &path() const { return path_; }
    bool empty() const { return std::filesystem::is_empty(path_); }
    std::string operator/(const char *name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

} // namespace tidemark::test
