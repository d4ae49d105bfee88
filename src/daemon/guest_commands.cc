// SPDX-License-Identifier: GPL-2.0-or-later
//
// Commands that somebody asks for.
#include "daemon/guests_impl.h"
#include "daemon/qmp_answer.h"

#include <array>
#include <cerrno>
#include <cmath>
#include <utility>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

// What QEMU would refuse anyway, in words that name what is wrong here.
Result<void> check(const PrefetchOrder &order) {
    if (order.ranges.empty() || order.ranges.size() > Guests::kMaxRanges)
        return fail(EINVAL, "ranges: " + std::to_string(order.ranges.size()) +
                                " were given; there must be 1 to " +
                                std::to_string(Guests::kMaxRanges));
    for (const MemoryRange &range : order.ranges)
        if (range.length == 0 || range.length % 4096 != 0 || range.offset % 4096 != 0)
            return fail(EINVAL, "ranges: offset " + std::to_string(range.offset) + ", length " +
                                    std::to_string(range.length) +
                                    " is not a range of whole pages of 4096 bytes");
    if (!(order.confidence > 0 && order.confidence <= 1))
        return fail(EINVAL, "confidence: it must be more than 0 and at most 1");
    if (order.deadline_ms && *order.deadline_ms == 0)
        return fail(EINVAL, "deadline: it must be at least 1 ms");
    return {};
}

json arguments_of(const PrefetchOrder &order, const std::string &backend) {
    json ranges = json::array();
    for (const MemoryRange &range : order.ranges)
        ranges.push_back({{"offset", range.offset}, {"length", range.length}});
    json arguments = {{"id", backend},
                      {"ranges", std::move(ranges)},
                      {"target", order.to_nvme ? "nvme" : "dram"},
                      {"confidence", order.confidence}};
    if (order.deadline_ms)
        arguments["deadline-ms"] = *order.deadline_ms;
    return arguments;
}

} // namespace

Result<std::uint64_t> Guests::Impl::pages_in(const std::vector<json> &answers) {
    std::uint64_t sum = 0;
    for (const json &answer : answers) {
        auto pages = number_in(answer, "pages");
        if (!pages)
            return pages;
        sum += *pages;
    }
    return sum;
}

void Guests::Impl::execute(GuestEntry &entry, const std::string &command, const json &arguments,
                           QmpSession::Reply reply, bool out_of_band) {
    entry.session->execute(command, arguments, options_.command_deadline, std::move(reply),
                           out_of_band);
}

std::vector<std::string> Guests::Impl::backends(const GuestEntry &entry) {
    std::vector<std::string> ids;
    for (const BackendStats &backend : entry.guest.stats)
        ids.push_back(backend.id);
    return ids;
}

void Guests::Impl::for_these(GuestEntry &entry, std::vector<std::string> ids,
                             const std::string &command, ForBackend arguments,
                             Done<std::vector<json>> done) {
    struct Walk {
        std::weak_ptr<GuestEntry> entry;
        std::vector<std::string> ids;
        std::string command;
        ForBackend arguments;
        Done<std::vector<json>> done;
        std::vector<json> answers;

        static void next(Impl &impl, const std::shared_ptr<Walk> &walk) {
            const auto of = walk->entry.lock();
            if (!of || !of->session) {
                walk->done(fail(ENOTCONN, "the guest's QEMU went away"));
                return;
            }
            if (walk->answers.size() == walk->ids.size()) {
                walk->done(std::move(walk->answers));
                return;
            }
            impl.execute(*of, walk->command, walk->arguments(walk->ids[walk->answers.size()]),
                         [weak = impl.weak_from_this(), walk](Result<json> answer) {
                             const auto self = weak.lock();
                             if (!answer) {
                                 walk->done(tl::unexpected<Error>(answer.error()));
                             } else if (self) {
                                 walk->answers.push_back(std::move(*answer));
                                 next(*self, walk);
                             }
                         });
        }
    };
    const auto walk = std::make_shared<Walk>(
        Walk{shared(entry), std::move(ids), command, std::move(arguments), std::move(done), {}});
    boost::asio::post(io_, [weak = weak_from_this(), walk] {
        if (const auto self = weak.lock())
            Walk::next(*self, walk);
    });
}

void Guests::prefetch(const std::string &uuid, const PrefetchOrder &order, Done<Ticket> done) {
    GuestEntry *entry = impl_->connected(uuid, done);
    if (entry == nullptr)
        return;
    if (const auto sound = check(order); !sound)
        return impl_->later(done, tl::unexpected<Error>(sound.error()));
    std::string backend = order.backend;
    if (backend.empty()) {
        if (entry->guest.stats.size() != 1)
            return impl_->later(done, fail(EINVAL, "the guest has " +
                                                       std::to_string(entry->guest.stats.size()) +
                                                       " memory backends; say which one"));
        backend = entry->guest.stats[0].id;
    }
    impl_->execute(*entry, "tiered-memory-prefetch", arguments_of(order, backend),
                   [backend, done = std::move(done)](const Result<json> &answer) {
                       const auto ticket = answer ? number_in(*answer, "ticket")
                                                  : tl::unexpected<Error>(answer.error());
                       if (ticket)
                           done(Ticket{backend, *ticket});
                       else
                           done(tl::unexpected<Error>(ticket.error()));
                   });
}

void Guests::cancel_prefetch(const std::string &uuid, std::optional<Ticket> ticket,
                             Done<std::uint64_t> done) {
    GuestEntry *entry = impl_->connected(uuid, done);
    if (entry == nullptr)
        return;
    if (ticket) {
        impl_->execute(*entry, "tiered-memory-prefetch-cancel",
                       {{"id", ticket->backend}, {"ticket", ticket->ticket}},
                       [done = std::move(done)](const Result<json> &answer) {
                           done(answer ? number_in(*answer, "pages")
                                       : tl::unexpected<Error>(answer.error()));
                       });
        return;
    }
    impl_->for_backends(
        *entry, "tiered-memory-prefetch-cancel",
        [](const std::string &backend) {
            return json{{"id", backend}};
        },
        [done = std::move(done)](const Result<std::vector<json>> &answers) {
            if (!answers)
                return done(tl::unexpected<Error>(answers.error()));
            done(Impl::pages_in(*answers));
        });
}

void Guests::set_workload(const std::string &uuid, const std::string &workload,
                          Done<Nothing> done) {
    static constexpr std::array<const char *, 5> kWorkloads = {"unknown", "database", "web",
                                                               "batch", "idle"};
    GuestEntry *entry = impl_->connected(uuid, done);
    if (entry == nullptr)
        return;
    if (std::find(kWorkloads.begin(), kWorkloads.end(), workload) == kWorkloads.end())
        return impl_->later(done, fail(EINVAL, "workload: it must be unknown, database, web, batch "
                                               "or idle"));
    impl_->for_backends(
        *entry, "tiered-memory-set-workload",
        [workload](const std::string &backend) {
            return json{{"id", backend}, {"workload", workload}};
        },
        [done = std::move(done)](const Result<std::vector<json>> &answers) {
            if (answers)
                done(Nothing{});
            else
                done(tl::unexpected<Error>(answers.error()));
        });
}

void Guests::execute(const std::string &uuid, const std::string &command, const json &arguments,
                     Done<json> done) {
    if (GuestEntry *entry = impl_->connected(uuid, done))
        impl_->execute(*entry, command, arguments, std::move(done));
}

void Guests::record(const std::string &uuid, std::chrono::seconds length, RecordWhy why,
                    Done<Nothing> done) {
    impl_->record(uuid, length, why, std::move(done));
}

void Guests::replay(const std::string &uuid, const std::string &from_uuid,
                    Done<std::uint64_t> done) {
    impl_->replay(uuid, from_uuid, std::move(done));
}

void Guests::save_learned(const std::string &uuid, Done<Nothing> done) {
    if (GuestEntry *entry = impl_->connected(uuid, done))
        impl_->save_learned(*entry, std::move(done));
}

} // namespace tidemark::daemon
