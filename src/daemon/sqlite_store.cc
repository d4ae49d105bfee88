// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/sqlite_store.h"

#include "daemon/json_body.h"
#include "daemon/sqlite_file.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

// A later version is a step from the one before: migrate() runs the steps that a file lacks.
constexpr const char *kToVersion1 = R"(
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
INSERT INTO highest VALUES (0);
)";

constexpr const char *kToVersion2 = R"(
CREATE TABLE forecast_error (
  number INTEGER PRIMARY KEY AUTOINCREMENT, vm TEXT NOT NULL, unix_ms INTEGER NOT NULL,
  error TEXT NOT NULL);
)";

constexpr const char *kSteps[] = {kToVersion1, kToVersion2};
static_assert(std::size(kSteps) == kStoreSchema);

Result<AffinityGroup> group_of(const SqliteStatement &row) {
    AffinityGroup group;
    group.id = row.text(0);
    group.name = row.text(1);
    if (!row.is_null(2)) {
        group.priority = static_cast<std::uint32_t>(row.number(2));
    }
    const auto origin = group_origin_of(row.text(3));
    auto json = parse_json(row.text(4));
    if (!origin || !json) {
        return fail(EBADMSG, "the group " + group.id + " cannot be read from the database");
    }
    auto policy = policy_from_json(*json, "policy");
    if (!policy) {
        return fail(EBADMSG, "the group " + group.id +
                                 " cannot be read from the database: " + policy.error().sentence);
    }
    group.origin = *origin;
    group.policy = *policy;
    group.revision = static_cast<std::uint64_t>(row.number(5));
    return group;
}

class SqliteStore : public Store {
  public:
    explicit SqliteStore(std::unique_ptr<SqliteFile> file) : file_(std::move(file)) {}

    Result<std::vector<AffinityGroup>> groups() override {
        auto query = file_->prepare(
            "SELECT id, name, priority, origin, policy, revision FROM affinity_group ORDER BY id");
        std::vector<AffinityGroup> all;
        auto read = query.each([&](const SqliteStatement &row) -> Result<void> {
            auto group = group_of(row);
            if (!group) {
                return tl::unexpected(group.error());
            }
            all.push_back(std::move(*group));
            return {};
        });
        if (!read) {
            return tl::unexpected(read.error());
        }
        return all;
    }

    Result<std::vector<Membership>> memberships() override {
        auto query = file_->prepare(
            "SELECT vm, group_id, group_name, origin FROM membership ORDER BY vm, by_operator");
        std::vector<Membership> all;
        auto read = query.each([&](const SqliteStatement &row) -> Result<void> {
            const auto origin = group_origin_of(row.text(3));
            if (!origin) {
                return fail(EBADMSG,
                            "a membership of " + row.text(0) + " cannot be read from the database");
            }
            all.push_back({row.text(0), row.text(1), row.text(2), *origin});
            return {};
        });
        if (!read) {
            return tl::unexpected(read.error());
        }
        return all;
    }

    Result<std::uint64_t> revision() override {
        auto query = file_->prepare("SELECT revision FROM highest");
        std::uint64_t highest = 0;
        auto read = query.each([&](const SqliteStatement &row) -> Result<void> {
            highest = static_cast<std::uint64_t>(row.number(0));
            return {};
        });
        if (!read) {
            return tl::unexpected(read.error());
        }
        return highest;
    }

    Result<void> write(const GroupChanges &changes) override {
        return file_->transaction([&]() -> Result<void> {
            if (auto done = remove_all(changes); !done) {
                return done;
            }
            return put_all(changes);
        });
    }

    Result<std::vector<std::string>> keys(RecordKind kind) override {
        auto query = file_->prepare("SELECT key FROM record WHERE kind = ?1 ORDER BY key");
        query.bind(1, static_cast<std::int64_t>(kind));
        std::vector<std::string> all;
        auto read = query.each([&](const SqliteStatement &row) -> Result<void> {
            all.push_back(row.text(0));
            return {};
        });
        if (!read) {
            return tl::unexpected(read.error());
        }
        return all;
    }

    Result<std::optional<std::string>> get(RecordKind kind, std::string_view key) override {
        auto query = file_->prepare("SELECT value FROM record WHERE kind = ?1 AND key = ?2");
        query.bind(1, static_cast<std::int64_t>(kind));
        query.bind(2, key);
        std::optional<std::string> value;
        auto read = query.each([&](const SqliteStatement &row) -> Result<void> {
            value = row.text(0);
            return {};
        });
        if (!read) {
            return tl::unexpected(read.error());
        }
        return value;
    }

    Result<void> put(RecordKind kind, std::string_view key, std::string_view value) override {
        const RecordBound bound = record_bound(kind);
        if (key.empty() || key.size() > kRecordKeyMost || value.size() > bound.bytes) {
            return fail(EMSGSIZE, "a record has at most " + std::to_string(bound.bytes) +
                                      " bytes, and a key of 1 to " +
                                      std::to_string(kRecordKeyMost));
        }
        return file_->transaction([&]() -> Result<void> {
            if (auto room = check_room(kind, key, bound.count); !room) {
                return room;
            }
            auto put = file_->prepare("INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3)");
            put.bind(1, static_cast<std::int64_t>(kind));
            put.bind(2, key);
            put.bind_bytes(3, value);
            return put.run();
        });
    }

    Result<void> remove(RecordKind kind, std::string_view key) override {
        auto remove = file_->prepare("DELETE FROM record WHERE kind = ?1 AND key = ?2");
        remove.bind(1, static_cast<std::int64_t>(kind));
        remove.bind(2, key);
        return remove.run();
    }

    Result<std::vector<ForecastError>> forecast_errors() override {
        auto query =
            file_->prepare("SELECT vm, unix_ms, error FROM forecast_error ORDER BY number");
        std::vector<ForecastError> all;
        auto read = query.each([&](const SqliteStatement &row) -> Result<void> {
            all.push_back({row.text(0), row.number(1), row.text(2)});
            return {};
        });
        if (!read) {
            return tl::unexpected(read.error());
        }
        return all;
    }

    Result<void> add(const ForecastError &error) override {
        if (error.error.size() > kForecastErrorBytes) {
            return fail(EMSGSIZE, "the error of a forecast has at most " +
                                      std::to_string(kForecastErrorBytes) + " bytes");
        }
        return file_->transaction([&]() -> Result<void> {
            auto put = file_->prepare(
                "INSERT INTO forecast_error (vm, unix_ms, error) VALUES (?1, ?2, ?3)");
            put.bind(1, error.vm);
            put.bind(2, error.unix_ms);
            put.bind(3, error.error);
            if (auto done = put.run(); !done) {
                return done;
            }
            auto trim = file_->prepare("DELETE FROM forecast_error WHERE number <= "
                                       "(SELECT max(number) FROM forecast_error) - ?1");
            trim.bind(1, static_cast<std::int64_t>(kForecastErrorsMost));
            return trim.run();
        });
    }

  private:
    Result<void> remove_all(const GroupChanges &changes) {
        for (const std::string &id : changes.remove_groups) {
            auto remove = file_->prepare("DELETE FROM affinity_group WHERE id = ?1");
            remove.bind(1, id);
            if (auto done = remove.run(); !done) {
                return done;
            }
        }
        for (const MembershipKey &key : changes.remove_members) {
            auto remove =
                file_->prepare("DELETE FROM membership WHERE vm = ?1 AND by_operator = ?2");
            remove.bind(1, key.vm);
            remove.bind(2, std::int64_t{key.by_operator});
            if (auto done = remove.run(); !done) {
                return done;
            }
        }
        return {};
    }

    Result<void> put_all(const GroupChanges &changes) {
        for (const AffinityGroup &group : changes.put_groups) {
            if (auto done = put_group(group); !done) {
                return done;
            }
        }
        for (const Membership &member : changes.put_members) {
            auto put =
                file_->prepare("INSERT OR REPLACE INTO membership VALUES (?1, ?2, ?3, ?4, ?5)");
            put.bind(1, member.vm);
            put.bind(2, std::int64_t{member.origin == GroupOrigin::by_operator});
            put.bind(3, member.group_id);
            put.bind(4, member.group_name);
            put.bind(5, to_string(member.origin));
            if (auto done = put.run(); !done) {
                return done;
            }
        }
        return {};
    }

    Result<void> put_group(const AffinityGroup &group) {
        // By id only: another group of that name is a mistake, and must not be replaced by this one.
        auto put = file_->prepare(
            "INSERT INTO affinity_group VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE "
            "SET name = ?2, priority = ?3, origin = ?4, policy = ?5, revision = ?6");
        put.bind(1, group.id);
        put.bind(2, group.name);
        if (group.priority) {
            put.bind(3, std::int64_t{*group.priority});
        }
        put.bind(4, to_string(group.origin));
        put.bind(5, policy_to_json(group.policy).dump());
        put.bind(6, static_cast<std::int64_t>(group.revision));
        if (auto done = put.run(); !done) {
            return done;
        }
        auto highest = file_->prepare("UPDATE highest SET revision = max(revision, ?1)");
        highest.bind(1, static_cast<std::int64_t>(group.revision));
        return highest.run();
    }

    Result<void> check_room(RecordKind kind, std::string_view key, std::size_t most) {
        auto others = file_->prepare("SELECT count(*) FROM record WHERE kind = ?1 AND key <> ?2");
        others.bind(1, static_cast<std::int64_t>(kind));
        others.bind(2, key);
        return others.each([&](const SqliteStatement &row) -> Result<void> {
            if (static_cast<std::uint64_t>(row.number(0)) < most) {
                return {};
            }
            return fail(ENOSPC, "there are " + std::to_string(most) +
                                    " records of this kind; there cannot be more");
        });
    }

    std::unique_ptr<SqliteFile> file_;
};

Result<void> migrate(SqliteFile &file, const std::string &path) {
    auto version = file.schema_version();
    if (!version) {
        return tl::unexpected(version.error());
    }
    if (*version > kStoreSchema) {
        return fail(EPROTO, path + " is of schema " + std::to_string(*version) +
                                ", made by a newer tidemarkd; this one knows " +
                                std::to_string(kStoreSchema) +
                                ". Install the newer one again, or move the file away to begin "
                                "with an empty one");
    }
    if (*version == kStoreSchema) {
        return {};
    }
    return file.transaction([&]() -> Result<void> {
        for (auto step = static_cast<std::size_t>(*version); step < std::size(kSteps); ++step) {
            if (auto done = file.execute(kSteps[step]); !done) {
                return done;
            }
        }
        return file.execute("PRAGMA user_version = " + std::to_string(kStoreSchema));
    });
}

} // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const std::string &path) {
    auto file = SqliteFile::open(path);
    if (!file) {
        return tl::unexpected(file.error());
    }
    if (auto ready = migrate(**file, path); !ready) {
        return tl::unexpected(ready.error());
    }
    return std::make_unique<SqliteStore>(std::move(*file));
}

} // namespace tidemark::daemon
