// SPDX-License-Identifier: GPL-2.0-or-later
//
// Opens what a tier's path names, so that nothing is left behind after a crash.
#pragma once

#include "base/result.h"
#include "sys/unique_fd.h"

#include <cstdint>
#include <functional>
#include <string>

namespace tidemark {

struct TierFile {
    UniqueFd fd;
    std::uint64_t size = 0;
    bool direct = false; // O_DIRECT in use
    bool block_device = false;
};

// See open_uring_disk() in sys/disk.h for what path may be.
Result<TierFile> open_tier_file(const std::string &path, std::uint64_t capacity,
                                const std::function<void(const std::string &)> &warn);

} // namespace tidemark
