// SPDX-License-Identifier: GPL-2.0-or-later
//
// The store's file: bounds, what is left when its process dies, and files that it must not touch.
#include "daemon/sqlite_store.h"
#include "support/temp_dir.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <random>
#include <sqlite3.h>

using namespace tidemark;
using namespace tidemark::daemon;
using Catch::Matchers::ContainsSubstring;

namespace {

std::unique_ptr<Store> open(const std::string &path) {
    auto store = open_sqlite_store(path);
    if (!store) {
        FAIL(store.error().sentence);
    }
    return std::move(*store);
}

AffinityGroup group(int number) {
    AffinityGroup made;
    made.id = "00000000-0000-4000-8000-" + std::to_string(100000000000 + number);
    made.name = "group-" + std::to_string(number);
    made.policy.cold = static_cast<std::uint32_t>(number + 1);
    made.revision = static_cast<std::uint64_t>(number);
    return made;
}

std::string content(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void put_content(const std::string &path, const std::string &bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void require_refused(const std::string &path, const char *why) {
    const std::string before = content(path);
    auto store = open_sqlite_store(path);
    REQUIRE_FALSE(store);
    CHECK_THAT(store.error().sentence, ContainsSubstring(path));
    CHECK_THAT(store.error().sentence, ContainsSubstring(why));
    CHECK(content(path) == before);
}

} // namespace

TEST_CASE("what was put is there after a restart, in all its fields") {
    const test::TempDir folder;
    const std::string path = folder / "a.db";
    AffinityGroup whole = group(7);
    whole.priority = 12;
    whole.origin = GroupOrigin::service;
    whole.policy = {domain::Eviction::lfu, true, 5, 6, 7, false, true};
    const Membership by_operator{"vm", whole.id, whole.name, GroupOrigin::by_operator};
    const Membership by_domain{"vm", "other", "name", GroupOrigin::domain};
    {
        auto store = open(path);
        REQUIRE(store->write({{whole, group(8)}, {}, {by_operator, by_domain}, {}}));
        REQUIRE(store->write({{}, {group(8).id}, {}, {{"vm", true}}}));
        REQUIRE(store->put(RecordKind::settings, "vm", "text"));
        REQUIRE(store->put(RecordKind::series, "vm", std::string("\0\xff", 2)));
        REQUIRE(store->put(RecordKind::series, "empty", ""));
    }
    auto store = open(path);
    CHECK(store->groups().value() == std::vector<AffinityGroup>{whole});
    CHECK(store->memberships().value() == std::vector<Membership>{by_domain});
    CHECK(store->revision().value() == 8);
    CHECK(store->get(RecordKind::settings, "vm").value() == "text");
    CHECK(store->get(RecordKind::series, "vm").value() == std::string("\0\xff", 2));
    CHECK(store->get(RecordKind::series, "empty").value() == "");
    CHECK(store->get(RecordKind::domain, "vm").value() == std::nullopt);
    CHECK(store->keys(RecordKind::series).value() == std::vector<std::string>{"empty", "vm"});
    REQUIRE(store->remove(RecordKind::series, "vm"));
    REQUIRE(store->remove(RecordKind::series, "vm"));
    CHECK(store->keys(RecordKind::series).value() == std::vector<std::string>{"empty"});
}

TEST_CASE("a change is done wholly or not at all") {
    const test::TempDir folder;
    auto store = open(folder / "a.db");
    AffinityGroup twin = group(2);
    twin.name = group(1).name;
    REQUIRE_FALSE(store->write({{group(1), twin}, {}, {}, {}}));
    CHECK(store->groups().value().empty());
    CHECK(store->revision().value() == 0);
    REQUIRE(store->write({{group(1)}, {}, {}, {}}));
}

TEST_CASE("records are bounded in size and number") {
    const test::TempDir folder;
    auto store = open(folder / "a.db");
    const RecordBound bound = record_bound(RecordKind::settings);
    REQUIRE(store->put(RecordKind::settings, "most", std::string(bound.bytes, 'x')));
    CHECK(
        store->put(RecordKind::settings, "more", std::string(bound.bytes + 1, 'x')).error().code ==
        EMSGSIZE);
    CHECK(store->put(RecordKind::settings, "", "x").error().code == EMSGSIZE);
    CHECK(
        store->put(RecordKind::settings, std::string(kRecordKeyMost + 1, 'k'), "x").error().code ==
        EMSGSIZE);
    for (std::size_t i = 1; i < bound.count; ++i) {
        REQUIRE(store->put(RecordKind::settings, std::to_string(i), ""));
    }
    CHECK(store->put(RecordKind::settings, "one more", "").error().code == ENOSPC);
    CHECK(store->put(RecordKind::settings, "most", "again"));
    CHECK(store->put(RecordKind::domain, "of another kind", ""));
}

TEST_CASE("a process that dies leaves what it acknowledged") {
    const test::TempDir folder;
    const std::string path = folder / "a.db";
    const std::string copy = folder / "b.db";
    auto store = open(path);
    for (int i = 0; i < 40; ++i) {
        REQUIRE(store->write({{group(i)}, {}, {}, {}}));
        // What the disk holds now is what a process finds that comes after a kill.
        std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
        std::filesystem::copy_file(path + "-wal", copy + "-wal",
                                   std::filesystem::copy_options::overwrite_existing);
        CHECK(open(copy)->groups().value().size() == static_cast<std::size_t>(i) + 1);
    }
}

TEST_CASE("a log that ends in the middle loses the last change only, and is no obstacle") {
    const test::TempDir folder;
    const std::string path = folder / "a.db";
    const std::string copy = folder / "b.db";
    auto store = open(path);
    for (int i = 0; i < 10; ++i) {
        REQUIRE(store->write({{group(i)}, {}, {}, {}}));
    }
    const std::string database = content(path);
    const std::string log = content(path + "-wal");
    std::mt19937 chance(11);
    std::size_t before = 10;
    for (std::size_t length = log.size(); length > 0;
         length -= std::min<std::size_t>(length, 1 + chance() % 3000)) {
        put_content(copy, database);
        put_content(copy + "-wal", log.substr(0, length));
        const std::size_t count = open(copy)->groups().value().size();
        CHECK(count <= before);
        before = count;
    }
}

TEST_CASE("files that are not ours are refused and left as they are") {
    const test::TempDir folder;
    const std::string path = folder / "a.db";
    SECTION("no database") {
        put_content(path, "something quite different\n" + std::string(5000, 'x'));
        require_refused(path, "not a database");
    }
    SECTION("of a newer schema") {
        open(path).reset();
        sqlite3 *raw = nullptr;
        REQUIRE(sqlite3_open(path.c_str(), &raw) == SQLITE_OK);
        sqlite3_exec(raw, "PRAGMA user_version = 99", nullptr, nullptr, nullptr);
        sqlite3_close(raw);
        require_refused(path, "newer");
    }
    SECTION("cut off, or overwritten in the middle") {
        {
            auto store = open(path);
            for (int i = 0; i < 200; ++i) {
                REQUIRE(store->write({{group(i)}, {}, {}, {}}));
            }
        }
        const std::string whole = content(path);
        REQUIRE(whole.size() > 20000);
        put_content(path, whole.substr(0, whole.size() / 2));
        require_refused(path, "damaged");
        std::string torn = whole;
        torn.replace(8192, 4096, std::string(4096, '\x5a'));
        put_content(path, torn);
        require_refused(path, "damaged");
        put_content(path, whole);
        CHECK(open(path)->groups().value().size() == 200);
    }
    SECTION("in use") {
        auto store = open(path);
        auto second = open_sqlite_store(path);
        REQUIRE_FALSE(second);
        CHECK_THAT(second.error().sentence, ContainsSubstring("in use"));
    }
    SECTION("in a folder that is not there") {
        CHECK_FALSE(open_sqlite_store(folder / "none/a.db"));
    }
}
