// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a guest is asked to do: prefetch, record, replay. Answered when its QEMU has.
#include "base/utf8.h"
#include "daemon/guests.h"
#include "daemon/json_body.h"
#include "daemon/problem.h"
#include "daemon/rest.h"
#include "domain/group_id.h"
#include "domain/recording.h"

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

using nlohmann::json;

Result<std::uint64_t> whole_number(const json &object, const char *name, std::uint64_t least,
                                   std::uint64_t most, std::optional<std::uint64_t> otherwise) {
    const auto found = object.find(name);
    if ((found == object.end() || found->is_null()) && otherwise) {
        return *otherwise;
    }
    if (found == object.end() || !found->is_number_unsigned() ||
        found->get<std::uint64_t>() < least || found->get<std::uint64_t>() > most) {
        return fail(EINVAL, std::string(name) + " must be a whole number from " +
                                std::to_string(least) + " to " + std::to_string(most));
    }
    return found->get<std::uint64_t>();
}

Result<std::vector<MemoryRange>> ranges_of(const json &body) {
    const auto found = body.find("ranges");
    if (found == body.end() || !found->is_array() || found->empty() ||
        found->size() > Guests::kMaxRanges) {
        return fail(EINVAL, "ranges must be an array of 1 to " +
                                std::to_string(Guests::kMaxRanges) +
                                " objects with offset and length");
    }
    std::vector<MemoryRange> ranges;
    for (const json &range : *found) {
        if (!range.is_object()) {
            return fail(EINVAL, "a range must be an object with offset and length");
        }
        if (auto unknown = unknown_member(range, {"offset", "length"})) {
            return fail(EINVAL, "ranges: " + *unknown);
        }
        auto offset = whole_number(range, "offset", 0, std::uint64_t{1} << 60, std::nullopt);
        auto length = whole_number(range, "length", 4096, std::uint64_t{1} << 60, std::nullopt);
        if (!offset || !length) {
            return fail(EINVAL, "ranges: " + (offset ? length.error() : offset.error()).sentence);
        }
        if (*offset % 4096 != 0 || *length % 4096 != 0) {
            return fail(EINVAL, "ranges: offset and length must be multiples of 4096");
        }
        ranges.push_back({*offset, *length});
    }
    return ranges;
}

Result<PrefetchOrder> order_of(const json &body) {
    if (auto unknown =
            unknown_member(body, {"ranges", "tier", "confidence", "backend", "deadlineMs"})) {
        return fail(EINVAL, *unknown);
    }
    PrefetchOrder order;
    auto ranges = ranges_of(body);
    if (!ranges) {
        return tl::unexpected(ranges.error());
    }
    order.ranges = std::move(*ranges);
    const json tier = body.value("tier", json("dram"));
    if (tier != "dram" && tier != "nvme") {
        return fail(EINVAL, "tier must be \"dram\" or \"nvme\"");
    }
    order.to_nvme = tier == "nvme";
    const json confidence = body.value("confidence", json(1));
    if (!confidence.is_number() || !(confidence.get<double>() > 0) ||
        !(confidence.get<double>() <= 1)) {
        return fail(EINVAL, "confidence must be a number above 0 and at most 1");
    }
    order.confidence = confidence.get<double>();
    const json backend = body.value("backend", json(""));
    if (!backend.is_string() || backend.get_ref<const std::string &>().size() > 128) {
        return fail(EINVAL, "backend must be the name of a memory object");
    }
    order.backend = backend.get<std::string>();
    if (body.contains("deadlineMs")) {
        auto deadline = whole_number(body, "deadlineMs", 1, 3'600'000, std::nullopt);
        if (!deadline) {
            return tl::unexpected(deadline.error());
        }
        order.deadline_ms = static_cast<std::uint32_t>(*deadline);
    }
    return order;
}

tl::expected<std::string, HttpResponse> guest_of(const Guests &guests, const HttpRequest &request) {
    const Guest *guest = guests.find(request.parameters[0]);
    if (guest == nullptr) {
        return tl::unexpected(problem(404, "there is no guest " + cut(request.parameters[0], 64)));
    }
    return guest->uuid;
}

void prefetch(Guests &guests, const HttpRequest &request, const HttpReply &reply) {
    auto uuid = guest_of(guests, request);
    auto body = object_of(request);
    if (!uuid || !body) {
        return reply(uuid ? body.error() : uuid.error());
    }
    auto order = order_of(*body);
    if (!order) {
        return reply(problem(order.error()));
    }
    guests.prefetch(*uuid, *order, [reply](const Result<Guests::Ticket> &ticket) {
        reply(ticket
                  ? json_response({{"backend", ticket->backend}, {"ticket", ticket->ticket}}, 202)
                  : problem(ticket.error()));
    });
}

void cancel_prefetch(Guests &guests, const HttpRequest &request, const HttpReply &reply) {
    auto uuid = guest_of(guests, request);
    if (!uuid) {
        return reply(uuid.error());
    }
    std::optional<Guests::Ticket> one;
    const auto ticket = request.query.find("ticket");
    const auto backend = request.query.find("backend");
    if ((ticket == request.query.end()) != (backend == request.query.end())) {
        return reply(problem(400, "to cancel one order, give both backend and ticket"));
    }
    if (ticket != request.query.end()) {
        const std::string &text = ticket->second;
        if (text.empty() || text.size() > 18 ||
            text.find_first_not_of("0123456789") != std::string::npos) {
            return reply(
                problem(400, "ticket must be the number that the order was answered with"));
        }
        one = Guests::Ticket{backend->second, std::stoull(text)};
    }
    guests.cancel_prefetch(*uuid, one, [reply](const Result<std::uint64_t> &pages) {
        reply(pages ? json_response({{"pages", *pages}}) : problem(pages.error()));
    });
}

void record(Guests &guests, const HttpRequest &request, const HttpReply &reply) {
    auto uuid = guest_of(guests, request);
    auto body = object_or_nothing(request);
    if (!uuid || !body) {
        return reply(uuid ? body.error() : uuid.error());
    }
    if (auto unknown = unknown_member(*body, {"seconds"})) {
        return reply(problem(422, *unknown));
    }
    auto seconds = whole_number(*body, "seconds", 1, domain::kRecordMost, 60);
    if (!seconds) {
        return reply(problem(seconds.error()));
    }
    guests.record(
        *uuid, std::chrono::seconds(*seconds), Guests::RecordWhy::asked,
        [reply, length = *seconds](const Result<Guests::Nothing> &begun) {
            reply(begun ? json_response({{"seconds", length}}, 202) : problem(begun.error()));
        });
}

void replay(Guests &guests, const HttpRequest &request, const HttpReply &reply) {
    auto uuid = guest_of(guests, request);
    auto body = object_or_nothing(request);
    if (!uuid || !body) {
        return reply(uuid ? body.error() : uuid.error());
    }
    if (auto unknown = unknown_member(*body, {"from"})) {
        return reply(problem(422, *unknown));
    }
    const json from = body->value("from", json(*uuid));
    const auto from_uuid =
        from.is_string() ? domain::normal_uuid(from.get<std::string>()) : std::nullopt;
    if (!from_uuid) {
        return reply(problem(422, "from must be the UUID of the guest that was recorded"));
    }
    guests.replay(*uuid, *from_uuid, [reply](const Result<std::uint64_t> &pages) {
        reply(pages ? json_response({{"pages", *pages}}, 202) : problem(pages.error()));
    });
}

} // namespace

void add_guest_command_routes(Router &router, Guests &guests) {
    const auto add = [&](const char *method, const char *path,
                         void (*handle)(Guests &, const HttpRequest &, const HttpReply &)) {
        router.add(method, path,
                   [&guests, handle](const HttpRequest &request, const HttpReply &reply) {
                       handle(guests, request, reply);
                   });
    };
    add("POST", "/api/v1/memory/prefetch/{uuid}", prefetch);
    add("DELETE", "/api/v1/memory/prefetch/{uuid}", cancel_prefetch);
    add("POST", "/api/v1/guests/{uuid}/record", record);
    add("POST", "/api/v1/guests/{uuid}/replay", replay);
}

} // namespace tidemark::daemon
