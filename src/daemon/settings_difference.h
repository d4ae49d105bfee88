// SPDX-License-Identifier: GPL-2.0-or-later
//
// What tiered-memory-configure has to say to bring a backend from what it reports to what it is to be.
#pragma once

#include "daemon/guest_settings.h"
#include "daemon/guest_stats.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace tidemark::daemon {

struct Guest;

// a * b / c without overflow, for c > 0.
std::uint64_t scaled(std::uint64_t a, std::uint64_t b, std::uint64_t c);

// The backend's part of the guest's DRAM, by size: what the arbiter granted, else the settings'
// limit; at least 16 MiB, a multiple of 2 MiB, at most its size. 0: nobody said anything.
std::uint64_t dram_share(const Guest &guest, const BackendStats &backend);

// The arguments without "id"; an empty object if nothing differs. What the settings leave open becomes
// QEMU's default if fill_defaults is set, and else stays as it is.
nlohmann::json settings_difference(const BackendStats &now, const PolicySettings &wanted,
                                   std::uint64_t dram_limit, bool fill_defaults);

// After QEMU took such arguments: `now` as it would report itself.
void apply_difference(const nlohmann::json &arguments, BackendStats &now);

} // namespace tidemark::daemon
