// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small files: written whole or not at all, and read only if they are what they should be.
#include "sys/whole_file.h"

#include "support/temp_dir.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cerrno>
#include <filesystem>
#include <sys/stat.h>

using namespace tidemark;
using namespace tidemark::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

auto files_in(const TempDir &folder) {
    return std::distance(fs::directory_iterator(folder.path()), {});
}

std::vector<std::byte> bytes(std::size_t count, int fill) {
    return std::vector<std::byte>(count, static_cast<std::byte>(fill));
}

} // namespace

TEST_CASE("what is written is read back, and replaced as a whole") {
    const TempDir folder;
    for (const int fill : {1, 2}) {
        REQUIRE(write_whole_file(folder / "a", bytes(5000, fill)));
        const auto read = read_whole_file(folder / "a", 5000);
        REQUIRE(read);
        CHECK(*read == bytes(5000, fill));
    }
    REQUIRE(write_whole_file(folder / "empty", {}));
    CHECK(read_whole_file(folder / "empty", 0)->empty());
    CHECK(files_in(folder) == 2); // nothing is left beside them
    struct stat about {};
    REQUIRE(stat((folder / "a").c_str(), &about) == 0);
    CHECK((about.st_mode & 0777) == 0600);
}

TEST_CASE("what can't be written says why and leaves nothing behind") {
    const TempDir folder;
    const auto nowhere = write_whole_file(folder / "no/such/folder", bytes(1, 1));
    REQUIRE_FALSE(nowhere);
    CHECK(nowhere.error().code == ENOENT);
    CHECK_THAT(nowhere.error().sentence, ContainsSubstring("can't be written"));
    fs::create_directory(folder / "taken"); // a file can't take the name of a folder
    CHECK_FALSE(write_whole_file(folder / "taken", bytes(1, 1)));
    CHECK(files_in(folder) == 1);
}

TEST_CASE("what is no regular file, too large or not there is refused") {
    const TempDir folder;
    CHECK(read_whole_file(folder / "absent", 10).error().code == ENOENT);
    REQUIRE(write_whole_file(folder / "large", bytes(11, 0)));
    const auto large = read_whole_file(folder / "large", 10);
    CHECK(large.error().code == EFBIG);
    CHECK_THAT(large.error().sentence, ContainsSubstring("has 11 bytes"));
    REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
    CHECK(read_whole_file(folder / "pipe", 10).error().code == EINVAL);
    CHECK(read_whole_file(folder / "", 10).error().code == EINVAL);
}
