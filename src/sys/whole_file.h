// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small files that are read and written whole.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace tidemark {

// Replaces the file, or leaves what was there: the bytes go to a new file beside it (mode 0600), are synced, and
// take its name.
Result<void> write_whole_file(const std::string &path, std::span<const std::byte> bytes);
// most: a larger file is refused, and so is anything but a regular file.
Result<std::vector<std::byte>> read_whole_file(const std::string &path, std::size_t most);

} // namespace tidemark
