// SPDX-License-Identifier: GPL-2.0-or-later
//
// SQLite as the store needs it: one file, opened for this process alone, and statements that end with
// a sentence when they fail.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace tidemark::daemon {

class SqliteStatement {
  public:
    SqliteStatement(SqliteStatement &&other) noexcept;
    SqliteStatement &operator=(SqliteStatement &&) = delete;
    ~SqliteStatement();

    // Parameters count from 1; one that is not bound is NULL.
    void bind(int parameter, std::int64_t value);
    void bind(int parameter, std::string_view text);
    void bind_bytes(int parameter, std::string_view bytes);

    Result<void> run(); // has no rows
    Result<void> each(const std::function<Result<void>(const SqliteStatement &)> &row);

    // Of the row that each() shows; columns count from 0.
    std::string text(int column) const;
    std::int64_t number(int column) const;
    bool is_null(int column) const;

  private:
    friend class SqliteFile;
    SqliteStatement(sqlite3 *database, const std::string &path, const char *sql);
    void check_bound(int status);
    Error failure(int status) const;

    sqlite3 *database_;
    const std::string &path_;
    sqlite3_stmt *statement_ = nullptr;
    int prepared_ = 0, bound_ = 0;
};

class SqliteFile {
  public:
    static Result<std::unique_ptr<SqliteFile>> open(const std::string &path);
    ~SqliteFile();
    SqliteFile(const SqliteFile &) = delete;
    SqliteFile &operator=(const SqliteFile &) = delete;

    // A statement that does not compile fails when it runs. It does not outlive the file.
    SqliteStatement prepare(const char *sql);
    Result<void> execute(const std::string &sql);
    // Durable when this returns without an error; with one, nothing of it happened.
    Result<void> transaction(const std::function<Result<void>()> &work);
    Result<int> schema_version();

  private:
    explicit SqliteFile(std::string path) : path_(std::move(path)) {}

    std::string path_;
    sqlite3 *database_ = nullptr;
};

} // namespace tidemark::daemon
