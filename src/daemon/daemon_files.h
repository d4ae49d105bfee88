// SPDX-License-Identifier: GPL-2.0-or-later
//
// The daemon's folders, its lock, and the resolved domains that QEMU reads.
#pragma once

#include "base/result.h"
#include "sys/unique_fd.h"

#include <string>
#include <string_view>
#include <sys/types.h>

namespace tidemark::daemon {

// Makes the folder and those above it; one that is there stays as it is.
Result<void> make_folder(const std::string &path, mode_t mode);
// Held as long as the descriptor is open. EBUSY: another daemon has it.
Result<UniqueFd> take_lock(const std::string &path);
// Replaces what a file holds in one step; owner and mode stay. ENOENT: there is no such file.
Result<void> replace_content(const std::string &path, std::string_view content);

} // namespace tidemark::daemon
