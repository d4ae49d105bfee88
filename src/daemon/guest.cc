// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest.h"

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

} // namespace tidemark::daemon
