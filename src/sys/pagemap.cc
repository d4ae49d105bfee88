// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/pagemap.h"

#include "base/units.h"
#include "sys/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>

namespace tidemark {

Result<std::vector<bool>> read_pagemap(std::uint64_t address, std::uint32_t pages) {
    const std::string path = "/proc/self/pagemap";
    const UniqueFd pagemap(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!pagemap.valid())
        return fail(errno, path + " can't be opened: " + std::strerror(errno) +
                               "; it is needed to see which pages of guest RAM are in use");
    constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
    constexpr std::uint64_t kSwapped = std::uint64_t{1} << 62;
    std::vector<bool> mapped(pages);
    std::vector<std::uint64_t> entries(std::min<std::size_t>(pages, std::size_t{64} << 10));
    const std::uint64_t first = address / kPageSize;
    for (std::uint32_t page = 0; page < pages;) {
        const std::size_t want = std::min<std::size_t>(entries.size(), pages - page);
        const ssize_t got = pread(pagemap.get(), entries.data(), want * sizeof(entries[0]),
                                  static_cast<off_t>((first + page) * sizeof(entries[0])));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < static_cast<ssize_t>(sizeof(entries[0])))
            return fail(
                got < 0 ? errno : EIO,
                path + " can't be read: " + (got < 0 ? std::strerror(errno) : "it ended early"));
        const std::size_t count = static_cast<std::size_t>(got) / sizeof(entries[0]);
        for (std::size_t i = 0; i < count; ++i)
            mapped[page + i] = (entries[i] & (kPresent | kSwapped)) != 0;
        page += static_cast<std::uint32_t>(count);
    }
    return mapped;
}

} // namespace tidemark
