// SPDX-License-Identifier: GPL-2.0-or-later
//
// /api/v1/tiers: the host's tiers, and those that single guests brought, with what all guests have there.
#include "daemon/guests.h"
#include "daemon/json_body.h"
#include "daemon/rest.h"
#include "domain/host_config.h"

#include <map>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

using nlohmann::json;

struct Tier {
    std::string name, klass;
    std::optional<std::uint64_t> capacity;
    std::size_t guests = 0, degraded = 0; // guests
    TierStats sum;
};

void count(Tier &tier, const TierStats &stats) {
    tier.sum.capacity += stats.capacity;
    tier.sum.used += stats.used;
    tier.sum.read_bytes += stats.read_bytes;
    tier.sum.written_bytes += stats.written_bytes;
    tier.sum.read_errors += stats.read_errors;
    tier.sum.write_errors += stats.write_errors;
    tier.sum.checksum_errors += stats.checksum_errors;
}

std::map<std::string, Tier> tiers_of(const domain::HostConfig &config, const Guests &guests) {
    std::map<std::string, Tier> tiers;
    for (const domain::HostTier &tier : config.tiers) {
        tiers[tier.path] = {
            tier.name, std::string(domain::tier_class_text(tier.tier_class)), tier.capacity, 0, 0,
            {}};
    }
    for (const Guest *guest : guests.all()) {
        std::map<std::string, bool> here; // path: degraded
        for (const BackendStats &backend : guest->stats) {
            for (const TierStats &stats : backend.tiers) {
                Tier &tier = tiers[stats.path];
                tier.klass = tier.klass.empty() ? stats.klass : tier.klass;
                count(tier, stats);
                here[stats.path] |= stats.degraded;
            }
        }
        for (const auto &[path, degraded] : here) {
            tiers[path].guests += 1;
            tiers[path].degraded += degraded ? 1 : 0;
        }
    }
    return tiers;
}

json tier_json(const std::string &path, const Tier &tier) {
    return {{"path", path},
            {"name", tier.name.empty() ? json(nullptr) : json(tier.name)},
            {"class", tier.klass},
            {"capacity", tier.capacity ? json(*tier.capacity) : json(nullptr)},
            {"allotted", tier.sum.capacity},
            {"used", tier.sum.used},
            {"guests", tier.guests},
            {"degradedFor", tier.degraded},
            {"readBytes", tier.sum.read_bytes},
            {"writtenBytes", tier.sum.written_bytes},
            {"readErrors", tier.sum.read_errors},
            {"writeErrors", tier.sum.write_errors},
            {"checksumErrors", tier.sum.checksum_errors}};
}

} // namespace

void add_tier_routes(Router &router, const domain::HostConfig &config, const Guests &guests) {
    router.add_plain("GET", "/api/v1/tiers", [&](const HttpRequest &request) {
        auto page = page_of(request);
        if (!page) {
            return page.error();
        }
        const auto tiers = tiers_of(config, guests);
        std::vector<json> items;
        auto it = tiers.upper_bound(page->after);
        for (; it != tiers.end() && items.size() < page->limit; ++it) {
            items.push_back(tier_json(it->first, it->second));
        }
        std::optional<std::string> next;
        if (it != tiers.end()) {
            next = std::prev(it)->first;
        }
        return json_response(page_json(std::move(items), next));
    });
}

} // namespace tidemark::daemon
