// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/sqlite_file.h"

#include <cerrno>
#include <sqlite3.h>
#include <sys/stat.h>

namespace tidemark::daemon {
namespace {

Error error_of(sqlite3 *database, int status, const std::string &path) {
    const std::string what =
        database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(status);
    switch (status & 0xff) {
    case SQLITE_CORRUPT:
        return {EBADMSG, path + " is damaged (" + what +
                             "); it is left as it is. Restore it from a backup, or move it away to "
                             "begin with an empty one"};
    case SQLITE_NOTADB:
        return {EBADMSG, path + " is not a database of tidemarkd; it is left as it is. Move it "
                                "away, or name another folder in [paths] state"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return {EBUSY, path + " is in use by another process; is another tidemarkd running?"};
    case SQLITE_FULL:
        return {ENOSPC, "the disk that holds " + path + " is full; nothing was changed"};
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return {EIO, path + " cannot be used: " + what};
    default:
        return {EIO, path + ": " + what};
    }
}

} // namespace

SqliteStatement::SqliteStatement(sqlite3 *database, const std::string &path, const char *sql)
    : database_(database), path_(path) {
    prepared_ = sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
}

SqliteStatement::SqliteStatement(SqliteStatement &&other) noexcept
    : database_(other.database_), path_(other.path_), statement_(other.statement_),
      prepared_(other.prepared_), bound_(other.bound_) {
    other.statement_ = nullptr;
}

SqliteStatement::~SqliteStatement() {
    sqlite3_finalize(statement_);
}

void SqliteStatement::check_bound(int status) {
    bound_ = bound_ == SQLITE_OK ? status : bound_;
}

void SqliteStatement::bind(int parameter, std::int64_t value) {
    check_bound(sqlite3_bind_int64(statement_, parameter, value));
}

void SqliteStatement::bind(int parameter, std::string_view text) {
    check_bound(sqlite3_bind_text(statement_, parameter, text.data(), static_cast<int>(text.size()),
                                  SQLITE_TRANSIENT));
}

void SqliteStatement::bind_bytes(int parameter, std::string_view bytes) {
    // A null pointer would be NULL, not an empty value.
    check_bound(sqlite3_bind_blob(statement_, parameter, bytes.empty() ? "" : bytes.data(),
                                  static_cast<int>(bytes.size()), SQLITE_TRANSIENT));
}

Error SqliteStatement::failure(int status) const {
    return error_of(database_, status, path_);
}

Result<void> SqliteStatement::run() {
    return each([](const SqliteStatement &) -> Result<void> { return {}; });
}

Result<void>
SqliteStatement::each(const std::function<Result<void>(const SqliteStatement &)> &row) {
    for (const int status : {prepared_, bound_}) {
        if (status != SQLITE_OK) {
            return tl::unexpected(failure(status));
        }
    }
    while (true) {
        const int status = sqlite3_step(statement_);
        if (status == SQLITE_DONE) {
            return {};
        }
        if (status != SQLITE_ROW) {
            return tl::unexpected(failure(status));
        }
        if (auto taken = row(*this); !taken) {
            return taken;
        }
    }
}

std::string SqliteStatement::text(int column) const {
    const void *bytes = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr
               ? std::string()
               : std::string(static_cast<const char *>(bytes), static_cast<std::size_t>(size));
}

std::int64_t SqliteStatement::number(int column) const {
    return sqlite3_column_int64(statement_, column);
}

bool SqliteStatement::is_null(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Result<std::unique_ptr<SqliteFile>> SqliteFile::open(const std::string &path) {
    std::unique_ptr<SqliteFile> file(new SqliteFile(path));
    const mode_t before = umask(0077);
    const int opened =
        sqlite3_open_v2(path.c_str(), &file->database_,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    int status = opened;
    if (status == SQLITE_OK) {
        sqlite3_extended_result_codes(file->database_, 1);
        sqlite3_busy_timeout(file->database_, 0);
        // Looks at every page before anything is written. Exclusive: no second daemon, no shared memory
        // file. FULL: what a commit acknowledged has reached the disk.
        status = sqlite3_exec(file->database_,
                              "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                              "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
                              "PRAGMA wal_autocheckpoint = 256; BEGIN EXCLUSIVE; COMMIT;",
                              nullptr, nullptr, nullptr);
    }
    umask(before);
    if (status != SQLITE_OK) {
        return tl::unexpected(error_of(file->database_, status, path));
    }
    auto check = file->prepare("PRAGMA quick_check(1)");
    std::string verdict;
    auto checked = check.each([&](const SqliteStatement &row) -> Result<void> {
        verdict = row.text(0);
        return {};
    });
    if (!checked) {
        return tl::unexpected(checked.error());
    }
    if (verdict != "ok") {
        return fail(EBADMSG, path + " is damaged (" + verdict +
                                 "); it is left as it is. Restore it from a backup, or move it "
                                 "away to begin with an empty one");
    }
    return file;
}

SqliteFile::~SqliteFile() {
    sqlite3_close_v2(database_);
}

SqliteStatement SqliteFile::prepare(const char *sql) {
    return {database_, path_, sql};
}

Result<void> SqliteFile::execute(const std::string &sql) {
    const int status = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
    if (status != SQLITE_OK) {
        return tl::unexpected(error_of(database_, status, path_));
    }
    return {};
}

Result<void> SqliteFile::transaction(const std::function<Result<void>()> &work) {
    if (auto begun = execute("BEGIN IMMEDIATE"); !begun) {
        return begun;
    }
    auto done = work();
    if (done) {
        done = execute("COMMIT");
    }
    if (!done && sqlite3_get_autocommit(database_) == 0) {
        sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
    return done;
}

Result<int> SqliteFile::schema_version() {
    int version = 0;
    auto read =
        prepare("PRAGMA user_version").each([&](const SqliteStatement &row) -> Result<void> {
            version = static_cast<int>(row.number(0));
            return {};
        });
    if (!read) {
        return tl::unexpected(read.error());
    }
    return version;
}

} // namespace tidemark::daemon
