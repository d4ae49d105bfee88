// SPDX-License-Identifier: GPL-2.0-or-later
//
// /api/v1/guests: what there is to see of guests, and an operator's settings of one.
#include "base/utf8.h"
#include "daemon/affinity_loop.h"
#include "daemon/domains.h"
#include "daemon/guest_json.h"
#include "daemon/guests.h"
#include "daemon/json_body.h"
#include "daemon/problem.h"
#include "daemon/rest.h"
#include "daemon/settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

using nlohmann::json;

HttpResponse no_such_guest(const HttpRequest &request) {
    return problem(404, "there is no guest " + cut(request.parameters[0], 64));
}

HttpResponse list_guests(const Guests &guests, const HttpRequest &request) {
    auto page = page_of(request);
    if (!page) {
        return page.error();
    }
    const std::vector<const Guest *> all = guests.all();
    auto it = std::upper_bound(
        all.begin(), all.end(), page->after,
        [](const std::string &after, const Guest *guest) { return after < guest->uuid; });
    std::vector<json> items;
    for (; it != all.end() && items.size() < page->limit; ++it) {
        items.push_back(guest_to_json(**it));
    }
    std::optional<std::string> next;
    if (it != all.end()) {
        next = (*std::prev(it))->uuid;
    }
    return json_response(page_json(std::move(items), next));
}

// The settings are what can be changed, so they make the ETag: numbers that run do not.
std::string etag_of(const Settings &settings, const std::string &uuid) {
    return etag_of_text(settings_to_json(settings.operator_settings(uuid)).dump());
}

HttpResponse show(const Guest &guest, const Settings &settings) {
    HttpResponse response =
        json_response(guest_in_full(guest, settings.operator_settings(guest.uuid)));
    response.headers.emplace_back("ETag", etag_of(settings, guest.uuid));
    return response;
}

std::string mib(std::uint64_t bytes) {
    return std::to_string(bytes >> 20) + " MiB";
}

// What is told of a guest that this host can hold it to.
Result<void> can_be_had(const Guest &guest, const GuestSettings &now, const Domains &domains) {
    if (guest.memory > 0 && now.dram_floor && *now.dram_floor > guest.memory) {
        return fail(EINVAL, "dramFloor is " + mib(*now.dram_floor) + ", and the guest has only " +
                                mib(guest.memory));
    }
    if (guest.memory > 0 && now.dram_limit && *now.dram_limit > guest.memory) {
        return fail(EINVAL, "dramLimit is " + mib(*now.dram_limit) + ", and the guest has only " +
                                mib(guest.memory));
    }
    const std::uint64_t floor = now.dram_floor.value_or(guest.from_domain.dram_floor.value_or(0));
    if (now.dram_limit && *now.dram_limit < floor) {
        return fail(EINVAL,
                    "dramLimit is " + mib(*now.dram_limit) + ", below the floor of " + mib(floor));
    }
    return now.dram_floor ? domains.floor_fits(guest.uuid, guest.name, floor) : Result<void>();
}

// A merge patch (RFC 7396): what is null goes back to the next voice, what is absent stays.
HttpResponse patch_guest(Guests &guests, Settings &settings, const Domains &domains,
                         const HttpRequest &request) {
    const Guest *guest = guests.find(request.parameters[0]);
    if (guest == nullptr) {
        return no_such_guest(request);
    }
    auto body = object_of(request);
    if (!body) {
        return body.error();
    }
    const std::string uuid = guest->uuid;
    if (auto stale = precondition(request, etag_of(settings, uuid), false)) {
        return *stale;
    }
    // The patch itself is checked, too: a member with an unknown name and null would vanish unseen.
    if (auto sane = settings_from_json(*body); !sane) {
        return problem(sane.error());
    }
    json merged = settings_to_json(settings.operator_settings(uuid));
    merged.merge_patch(*body);
    auto now = settings_from_json(merged);
    if (!now) {
        return problem(now.error());
    }
    if (auto possible = can_be_had(*guest, *now, domains); !possible) {
        return problem(possible.error().code == ENOSPC ? 409 : status_of(possible.error()),
                       possible.error().sentence);
    }
    if (auto put = settings.put(uuid, *now); !put) {
        return problem(put.error());
    }
    guests.refresh(uuid);
    return show(*guests.find(uuid), settings);
}

HttpResponse profile_of(const Guest &guest) {
    json backends = json::array();
    if (!guest.profile_json.empty()) {
        backends = json::parse(guest.profile_json, nullptr, false);
    }
    return json_response(
        {{"uuid", guest.uuid}, {"at", guest.profile_unix_ms}, {"backends", std::move(backends)}});
}

json part(const std::optional<double> &value) {
    return value ? json(*value) : json(nullptr);
}

// Guests of the same group only: a score tells something of what is in a guest's memory.
HttpResponse similar_to(const Guests &guests, const AffinityLoop &affinity, const Guest &guest) {
    std::vector<json> items;
    for (const auto &[uuid, it] : affinity.similar(guest.uuid)) {
        const Guest *other = guests.find(uuid);
        items.push_back({{"uuid", uuid},
                         {"name", other == nullptr ? "" : other->name},
                         {"score", it.score},
                         {"heat", part(it.heat)},
                         {"content", part(it.content)},
                         {"workload", part(it.workload)},
                         {"phases", part(it.phases)}});
    }
    return json_response(page_json(std::move(items), std::nullopt));
}

} // namespace

void add_similar_routes(Router &router, const Guests &guests, const AffinityLoop &affinity) {
    router.add_plain("GET", "/api/v1/guests/{uuid}/similar", [&](const HttpRequest &request) {
        const Guest *guest = guests.find(request.parameters[0]);
        return guest == nullptr ? no_such_guest(request) : similar_to(guests, affinity, *guest);
    });
}

void add_guest_routes(Router &router, Guests &guests, Settings &settings, const Domains &domains) {
    const std::string base = "/api/v1/guests";
    router.add_plain("GET", base, [&guests](const HttpRequest &request) {
        return list_guests(guests, request);
    });
    router.add_plain("GET", base + "/{uuid}", [&](const HttpRequest &request) {
        const Guest *guest = guests.find(request.parameters[0]);
        return guest == nullptr ? no_such_guest(request) : show(*guest, settings);
    });
    router.add_plain("PATCH", base + "/{uuid}", [&](const HttpRequest &request) {
        return patch_guest(guests, settings, domains, request);
    });
    router.add_plain("GET", base + "/{uuid}/profile", [&guests](const HttpRequest &request) {
        const Guest *guest = guests.find(request.parameters[0]);
        return guest == nullptr ? no_such_guest(request) : profile_of(*guest);
    });
    router.add_plain("GET", base + "/{uuid}/heat", [&guests](const HttpRequest &request) {
        const Guest *guest = guests.find(request.parameters[0]);
        return guest == nullptr ? no_such_guest(request) : json_response(guest_heat(*guest));
    });
}

} // namespace tidemark::daemon
