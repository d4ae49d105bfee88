// SPDX-License-Identifier: GPL-2.0-or-later
//
// The store's file: bounds, what is left when its process dies, and files that it must not touch.
#include "daemon/sqlite_file.h"
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

// A second program at the file, which must not be open.
void run_sql(const std::string &path, const std::string &sql) {
    sqlite3 *raw = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &raw) == SQLITE_OK);
    char *why = nullptr;
    const int done = sqlite3_exec(raw, sql.c_str(), nullptr, nullptr, &why);
    INFO(sql << ": " << (why == nullptr ? "" : why));
    CHECK(done == SQLITE_OK);
    sqlite3_free(why);
    sqlite3_close(raw);
}

// What tidemarkd made when it knew nothing of forecasts; never to be changed.
const char *const kVersion1 = R"(
CREATE TABLE affinity_group (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, priority INTEGER, origin TEXT NOT NULL,
  policy TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE membership (
  vm TEXT NOT NULL, by_operator INTEGER NOT NULL, group_id TEXT NOT NULL, group_name TEXT NOT NULL,
  origin TEXT NOT NULL, PRIMARY KEY (vm, by_operator)) WITHOUT ROWID;
CREATE TABLE record (
  kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE highest (revision INTEGER NOT NULL);
INSERT INTO highest VALUES (77);
INSERT INTO affinity_group VALUES ('00000000-0000-4000-8000-000000000001', 'web', 300, 'operator',
  '{"coldAge":60,"evictionPolicy":"FIFO"}', 41);
INSERT INTO membership VALUES ('11111111-2222-4333-8444-000000000001', 1,
  '00000000-0000-4000-8000-000000000001', 'web', 'operator');
INSERT INTO record VALUES (1, '11111111-2222-4333-8444-000000000001', '{"dramLimit":268435456}');
PRAGMA user_version = 1;
)";

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
    whole.policy = {domain::Eviction::lfu, true, 5, 6, 7, false, true, {}};
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

TEST_CASE("a disk without room loses nothing, and is said to be full") {
    test::TempDir dir;
    const std::string path = dir / "full.db";
    auto file = SqliteFile::open(path);
    REQUIRE(file);
    REQUIRE((*file)->execute("CREATE TABLE words (word TEXT); INSERT INTO words VALUES ('kept');"
                             "PRAGMA max_page_count = 8"));
    const auto filled = (*file)->transaction(
        [&] { return (*file)->execute("INSERT INTO words VALUES (hex(zeroblob(100000)))"); });
    REQUIRE_FALSE(filled);
    CHECK(filled.error().code == ENOSPC); // 507 in REST
    CHECK_THAT(filled.error().sentence, ContainsSubstring(path) && ContainsSubstring("is full"));
    std::string words;
    REQUIRE((*file)
                ->prepare("SELECT word FROM words")
                .each([&](const SqliteStatement &row) -> Result<void> {
                    words += row.text(0);
                    return {};
                }));
    CHECK(words == "kept");
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

TEST_CASE("a file of version 1 is brought up to date, with all that is in it") {
    const test::TempDir folder;
    const std::string path = folder / "a.db";
    run_sql(path, kVersion1);
    for (int life = 0; life < 2; ++life) {
        auto store = open(path);
        const auto groups = store->groups().value();
        REQUIRE(groups.size() == 1);
        CHECK(groups[0].name == "web");
        CHECK(groups[0].priority == 300U);
        CHECK(groups[0].policy.cold == 60U);
        CHECK(groups[0].revision == 41);
        CHECK(store->revision().value() == 77U);
        CHECK(store->memberships()->size() == 1);
        CHECK(store->get(RecordKind::settings, "11111111-2222-4333-8444-000000000001").value() ==
              std::optional<std::string>(R"({"dramLimit":268435456})"));
        CHECK(store->forecast_errors()->size() == static_cast<std::size_t>(life));
        CHECK(store->add({"11111111-2222-4333-8444-000000000001", 5, "{}"}));
    }
    run_sql(path, "SELECT 1 / (SELECT user_version = 2 FROM pragma_user_version)");
}

TEST_CASE("a file that cannot be brought up to date stays as it is") {
    const test::TempDir folder;
    const std::string path = folder / "a.db";
    run_sql(path, kVersion1);
    run_sql(path, "CREATE TABLE forecast_error (something TEXT)"); // in the way of the step
    REQUIRE_FALSE(open_sqlite_store(path));
    run_sql(path, "DROP TABLE forecast_error");
    CHECK(open(path)->groups()->size() == 1);
}

TEST_CASE("errors of forecasts are kept in order, the newest of them") {
    const test::TempDir folder;
    const std::string path = folder / "a.db";
    const int most = static_cast<int>(kForecastErrorsMost);
    auto store = open(path);
    for (int i = 0; i < most + 10; ++i) {
        REQUIRE(store->add({"vm", i, "{}"}));
    }
    CHECK(store->add({"vm", 0, std::string(kForecastErrorBytes + 1, 'x')}).error().code ==
          EMSGSIZE);
    store.reset();
    const auto errors = open(path)->forecast_errors().value();
    REQUIRE(errors.size() == kForecastErrorsMost);
    CHECK(errors.front().unix_ms == 10);
    CHECK(errors.back().unix_ms == most + 9);
    CHECK(errors.back().vm == "vm");
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
        run_sql(path, "PRAGMA user_version = 99");
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
