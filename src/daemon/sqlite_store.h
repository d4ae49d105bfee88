// SPDX-License-Identifier: GPL-2.0-or-later
//
// The store in one SQLite file: write-ahead log, synchronous=FULL, its schema's version in
// user_version.
#pragma once

#include "daemon/store.h"

#include <memory>
#include <string>

namespace tidemark::daemon {

// Opens or creates `path`; its folder must exist. A file of an older schema is brought up to date. A file
// that is damaged, no database, of a newer schema or in use by another process is refused with a
// sentence, and left as it is.
Result<std::unique_ptr<Store>> open_sqlite_store(const std::string &path);

inline constexpr int kStoreSchema = 2;

} // namespace tidemark::daemon
