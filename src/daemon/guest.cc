// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest.h"

#include "daemon/settings_difference.h"

namespace tidemark::daemon {

std::uint64_t Guest::dram_used() const {
    std::uint64_t sum = 0;
    for (const BackendStats &backend : stats)
        sum += backend.dram_used;
    return sum;
}

std::uint64_t Guest::dram_limit() const {
    std::uint64_t sum = 0;
    for (const BackendStats &backend : stats)
        sum += backend.dram_limit;
    return sum;
}

std::uint64_t Guest::tiered_memory() const {
    std::uint64_t sum = 0;
    for (const BackendStats &backend : stats)
        sum += backend.size;
    return sum;
}

std::uint64_t Guest::in_proportion(std::uint64_t bytes) const {
    return booted_memory == 0 ? bytes : scaled(bytes, memory, booted_memory);
}

} // namespace tidemark::daemon
