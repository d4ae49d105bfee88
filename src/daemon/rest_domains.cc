// SPDX-License-Identifier: GPL-2.0-or-later
//
// /api/v1/domains: what libvirt's hook tells. Its answers are shown to whoever typed `virsh start`.
#include "base/utf8.h"
#include "daemon/domain_watch.h"
#include "daemon/domains.h"
#include "daemon/json_body.h"
#include "daemon/problem.h"
#include "daemon/rest.h"
#include "domain/group_id.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

namespace tidemark::daemon {
namespace {

tl::expected<std::string, HttpResponse> uuid_of(const HttpRequest &request) {
    if (auto uuid = domain::normal_uuid(request.parameters[0])) {
        return *uuid;
    }
    return tl::unexpected(
        problem(422, "'" + cut(request.parameters[0], 64) + "' is not the UUID of a domain"));
}

tl::expected<domain::Domain, HttpResponse> domain_of(const HttpRequest &request) {
    auto uuid = uuid_of(request);
    if (!uuid) {
        return tl::unexpected(uuid.error());
    }
    // Bounds and kind of the body first: what follows parses it by itself.
    if (auto body = object_of(request); !body) {
        return tl::unexpected(body.error());
    }
    auto domain = domain::domain_from_json(request.body);
    if (!domain) {
        return tl::unexpected(problem(422, domain.error().sentence));
    }
    if (domain->uuid != *uuid) {
        return tl::unexpected(problem(422, "the body is about domain " + domain->uuid +
                                               ", and the path about " + *uuid));
    }
    if (!domain->element) {
        return tl::unexpected(problem(422, "domain '" + domain->name +
                                               "' has no tidemark:memory element, or mode='off'"));
    }
    return std::move(*domain);
}

// A floor that does not fit, or a host that has as much as it can, is no mistake in the element.
HttpResponse refusal(const Error &error) {
    return problem(error.code == ENOSPC ? 409 : status_of(error), error.sentence);
}

HttpResponse prepare(Domains &domains, const HttpRequest &request) {
    auto domain = domain_of(request);
    if (!domain) {
        return domain.error();
    }
    auto resolved = domains.prepare(*domain);
    if (!resolved) {
        spdlog::warn("domain {} ({}): refused: {}", domain->name, domain->uuid,
                     resolved.error().sentence);
        return refusal(resolved.error());
    }
    spdlog::info("domain {} ({}): prepared with {} MiB of DRAM", domain->name, domain->uuid,
                 resolved->dram_limit >> 20);
    return json_response(to_json(*resolved));
}

} // namespace

void add_domain_routes(Router &router, Domains &domains, DomainWatch &watch) {
    const std::string base = "/api/v1/domains/{uuid}";
    router.add_plain("POST", base + "/prepare",
                     [&domains](const HttpRequest &request) { return prepare(domains, request); });
    // Neither is ever refused for what it says: the guest runs.
    for (const char *what : {"/started", "/reconnect"}) {
        router.add_plain("POST", base + what, [&domains, &watch](const HttpRequest &request) {
            auto uuid = uuid_of(request);
            if (!uuid) {
                return uuid.error();
            }
            // The hook tells the domain as well; a body that makes no sense is as if there were none.
            auto told = domain_of(request);
            auto domain = told ? std::optional(std::move(*told)) : std::nullopt;
            if (auto known = domains.running(*uuid, std::move(domain)); !known) {
                return refusal(known.error());
            }
            watch.changed(*uuid);
            return HttpResponse{204, {}, {}, {}};
        });
    }
    router.add_plain("POST", base + "/stopped", [&watch](const HttpRequest &request) {
        auto uuid = uuid_of(request);
        if (!uuid) {
            return uuid.error();
        }
        auto stopped = watch.stopped(*uuid);
        return stopped ? HttpResponse{204, {}, {}, {}} : problem(stopped.error());
    });
}

} // namespace tidemark::daemon
