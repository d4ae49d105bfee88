// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/settings_difference.h"

#include "daemon/guest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

constexpr std::uint64_t kLimitLeast = 16U << 20;
constexpr std::uint64_t kLimitStep = 2U << 20;

// What memory-backend-tiered has when nobody says anything (src/qemu/hostmem-tiered-props.c).
PolicySettings qemu_defaults() {
    PolicySettings defaults;
    defaults.eviction = domain::Eviction::lru;
    defaults.prefetch = true;
    defaults.window = 10;
    defaults.cold = 120;
    defaults.slowdown = 20;
    defaults.learn = true;
    return defaults;
}

__extension__ using Wide = unsigned __int128;

} // namespace

std::uint64_t scaled(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    return static_cast<std::uint64_t>(Wide{a} * b / c);
}

std::uint64_t dram_share(const Guest &guest, const BackendStats &backend) {
    const std::uint64_t sum = guest.tiered_memory();
    std::uint64_t limit = 0;
    if (guest.granted != 0 && sum != 0)
        limit = scaled(guest.granted, backend.size, sum);
    else if (guest.settings.dram_limit != 0 && guest.memory != 0)
        limit = scaled(guest.settings.dram_limit, backend.size, guest.memory);
    else
        return 0;
    limit = std::max(limit / kLimitStep * kLimitStep, kLimitLeast);
    return std::min(limit, backend.size);
}

json settings_difference(const BackendStats &now, const PolicySettings &wanted,
                         std::uint64_t dram_limit, bool fill_defaults) {
    const PolicySettings to = fill_defaults ? wanted.or_else(qemu_defaults()) : wanted;
    json arguments = json::object();
    if (dram_limit != 0 && dram_limit != now.dram_limit)
        arguments["dram-limit"] = dram_limit;
    if (to.eviction && domain::eviction_text(*to.eviction) != now.eviction)
        arguments["eviction-policy"] = domain::eviction_text(*to.eviction);
    if (to.cold && *to.cold != now.cold_age_s)
        arguments["cold-age"] = *to.cold;
    if (to.prefetch && *to.prefetch != now.prefetch)
        arguments["prefetch"] = *to.prefetch;
    if (to.window && *to.window != now.prefetch_window_s)
        arguments["prefetch-window"] = *to.window;
    if (to.learn && *to.learn != now.learn)
        arguments["learn"] = *to.learn;
    if (to.slowdown && *to.slowdown != now.reclaim_slowdown_permille)
        arguments["reclaim-slowdown"] = *to.slowdown;
    return arguments;
}

void apply_difference(const json &arguments, BackendStats &now) {
    now.dram_limit = arguments.value("dram-limit", now.dram_limit);
    now.eviction = arguments.value("eviction-policy", now.eviction);
    now.cold_age_s = arguments.value("cold-age", now.cold_age_s);
    now.prefetch = arguments.value("prefetch", now.prefetch);
    now.prefetch_window_s = arguments.value("prefetch-window", now.prefetch_window_s);
    now.learn = arguments.value("learn", now.learn);
    now.reclaim_slowdown_permille =
        arguments.value("reclaim-slowdown", now.reclaim_slowdown_permille);
}

} // namespace tidemark::daemon
