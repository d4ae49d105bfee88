// SPDX-License-Identifier: GPL-2.0-or-later
//
// Settings on their way to QEMU. What is sent is the difference to what QEMU reports, so nothing is sent
// twice, and what a QEMU missed is sent when it is back, or a poll after it did not answer.
#include "daemon/guests_impl.h"
#include "daemon/settings_difference.h"

#include <algorithm>
#include <cerrno>
#include <spdlog/spdlog.h>

namespace tidemark::daemon {

void Guests::Impl::push_settings(GuestEntry &entry) {
    if (!entry.session)
        return;
    push_learn_writes(entry);
    if (entry.pushing > 0) {
        entry.push_again = true;
        return;
    }
    Guest &guest = entry.guest;
    bool refused = false;
    for (const BackendStats &backend : guest.stats) {
        json arguments = settings_difference(backend, guest.settings.policy,
                                             dram_share(guest, backend), entry.managed);
        if (arguments.empty()) {
            entry.answered.erase(backend.id);
            continue;
        }
        // QEMU refused just that, or took it and reports something else: saying it again is no use.
        if (const auto last = entry.answered.find(backend.id);
            last != entry.answered.end() && last->second == arguments) {
            refused = true;
            continue;
        }
        ++entry.pushing;
        ++counters_.settings_pushed;
        json command = arguments;
        command["id"] = backend.id;
        execute(entry, "tiered-memory-configure", command,
                [weak = weak_from_this(), of = std::weak_ptr(shared(entry)),
                 session = std::weak_ptr(entry.session), id = backend.id,
                 arguments](const Result<json> &answer) {
                    const auto self = weak.lock();
                    const auto guest_of = of.lock();
                    // Of a connection that is over: the next one starts from what QEMU reports.
                    if (self && guest_of && guest_of->session &&
                        guest_of->session == session.lock())
                        self->take_pushed(*guest_of, id, arguments, answer);
                });
    }
    if (!refused)
        guest.settings_problem.clear();
}

// Of the whole guest, not of a backend. It began with what its resolved domain says.
void Guests::Impl::push_learn_writes(GuestEntry &entry) {
    const auto said = entry.guest.settings.policy.learn_writes;
    if ((!said && !entry.learn_writes) || entry.learn_writes == said.value_or(false))
        return;
    entry.learn_writes = said.value_or(false);
    execute(entry, "tiered-migration-configure", {{"learn", *entry.learn_writes}},
            [weak = weak_from_this(), of = std::weak_ptr(shared(entry)),
             session = std::weak_ptr(entry.session)](const Result<json> &answer) {
                const auto self = weak.lock();
                const auto guest = of.lock();
                if (answer || !self || !guest || !guest->session ||
                    guest->session != session.lock())
                    return;
                if (answer.error().code != EINVAL)
                    guest->learn_writes.reset(); // the next push says it again
                self->log_once("learn-writes " + guest->guest.uuid,
                               "guest " + guest->guest.name +
                                   ": its writes are not learnt: " + answer.error().sentence);
            });
}

void Guests::Impl::take_pushed(GuestEntry &entry, const std::string &backend, const json &arguments,
                               const Result<json> &answer) {
    Guest &guest = entry.guest;
    if (answer || answer.error().code == EINVAL)
        entry.answered[backend] = arguments;
    if (answer) {
        ++entry.settings_generation;
        const auto known = std::find_if(guest.stats.begin(), guest.stats.end(),
                                        [&](const BackendStats &b) { return b.id == backend; });
        if (known != guest.stats.end())
            apply_difference(arguments, *known);
        spdlog::debug("guest {} ({}): {} is set to {}", guest.name, guest.uuid, backend,
                      arguments.dump());
    } else {
        guest.settings_problem = one_line(backend + ": " + answer.error().sentence);
        log_once("settings " + guest.uuid,
                 "guest " + guest.name + " (" + guest.uuid +
                     ") does not take its settings: " + guest.settings_problem);
    }
    if (--entry.pushing == 0 && entry.push_again) {
        entry.push_again = false;
        push_settings(entry);
    }
}

} // namespace tidemark::daemon
