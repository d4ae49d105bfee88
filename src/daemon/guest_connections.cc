// SPDX-License-Identifier: GPL-2.0-or-later
//
// QEMUs that come, are believed or not, and go.
#include "daemon/guests_impl.h"
#include "daemon/qmp_answer.h"

#include <cerrno>
#include <spdlog/spdlog.h>
#include <utility>

namespace tidemark::daemon {

namespace {

// QEMUs between their connection and the end of their introduction. After a restart of the daemon
// all of them come within half a second; who finds no place tries again.
constexpr std::size_t kArrivingMost = 256;
// A QEMU that libvirt does not know may come back: the daemon's own restart is no end of it.
constexpr std::chrono::seconds kForgetAfter{30};

} // namespace

void Guests::Impl::accepted(QmpSession::Socket socket, const Peer &peer) {
    ++counters_.connections;
    if (stopped_ || arriving_.size() >= kArrivingMost) {
        ++counters_.refused;
        return; // the socket closes
    }
    // Who it is turns out later; until then nobody hears its events.
    struct Link {
        std::weak_ptr<GuestEntry> entry;
        std::weak_ptr<QmpSession> session;
    };
    const auto link = std::make_shared<Link>();
    QmpSession::Handlers handlers;
    handlers.ready = [weak = weak_from_this(), link, peer] {
        const auto self = weak.lock();
        const auto session = link->session.lock();
        if (!self || !session)
            return;
        introduce(session, self->options_.command_deadline,
                  [weak, link, peer](Result<Introduction> who) {
                      const auto impl = weak.lock();
                      const auto introduced = link->session.lock();
                      if (!impl || !introduced)
                          return;
                      Result<GuestEntry *> entry =
                          who ? impl->believe(*who, peer) : tl::unexpected<Error>(who.error());
                      if (!entry) {
                          ++impl->counters_.refused;
                          introduced->close(entry.error());
                          return;
                      }
                      link->entry = impl->shared(**entry);
                      impl->adopt(**entry, introduced, std::move(*who), peer);
                  });
    };
    handlers.event = [weak = weak_from_this(), link](const std::string &name, const json &data) {
        const auto self = weak.lock();
        if (const auto entry = link->entry.lock(); self && entry)
            self->take_event(*entry, name, data);
    };
    handlers.closed = [weak = weak_from_this(), link, peer](const Error &why) {
        const auto self = weak.lock();
        const auto session = link->session.lock();
        if (!self || !session)
            return;
        const QmpSession::Counters &ended = session->counters();
        self->ended_.commands += ended.commands;
        self->ended_.failures += ended.failures;
        self->ended_.timeouts += ended.timeouts;
        self->ended_.malformed += ended.malformed;
        if (self->arriving_.erase(session) > 0)
            self->log_once("arriving " + std::to_string(peer.pid),
                           "process " + std::to_string(peer.pid) +
                               " connected to vm.sock and was turned away: " + why.sentence);
        else if (const auto entry = link->entry.lock(); entry && entry->session == session)
            self->disconnected(*entry, why);
    };
    const auto session = QmpSession::start(std::move(socket), {}, std::move(handlers));
    link->session = session;
    arriving_.insert(session);
}

// The record this QEMU may be the guest of. Its UUID and name are only its own word.
Result<GuestEntry *> Guests::Impl::believe(const Introduction &who, const Peer &peer) {
    GuestEntry *known = find(who.uuid);
    if (known == nullptr || !known->guest.has_domain) {
        // The hook tells only once that it has started, and may not have been heard.
        if (const auto read = reread_domain(who.uuid); !read)
            log_once("domain " + who.uuid, read.error().sentence);
        known = find(who.uuid);
    }
    if (known != nullptr && known->guest.has_domain && known->guest.name != who.name)
        return fail(EACCES, "it says it is '" + who.name + "' with the UUID of the domain '" +
                                known->guest.name + "'");
    if (const auto checked = check_pid_file(options_.libvirt_pid_dir, who.name, peer.pid); !checked)
        return tl::unexpected<Error>(checked.error());
    if (known != nullptr && known->session && known->guest.pid != peer.pid)
        return fail(EEXIST, "the guest with its UUID " + who.uuid + " is process " +
                                std::to_string(known->guest.pid) + ", which is connected");
    if (known == nullptr && entries_.size() >= options_.max_guests)
        return fail(ENOSPC, "there are " + std::to_string(entries_.size()) +
                                " guests already; no more are followed");
    return &entry_of(who.uuid);
}

void Guests::Impl::adopt(GuestEntry &entry, std::shared_ptr<QmpSession> session, Introduction who,
                         const Peer &peer) {
    arriving_.erase(session);
    Guest &guest = entry.guest;
    if (entry.session) // the same process has connected again
        std::exchange(entry.session, nullptr)
            ->close(Error{ECANCELED, "its QEMU has connected anew"});
    const bool another = guest.pid != peer.pid;
    entry.session = std::move(session);
    entry.gid = peer.gid;
    entry.forget_timer.cancel();
    entry.stopped = false;
    entry.stats.asked = entry.profile.asked = entry.saving_learned = false;
    entry.pushing = 0;
    entry.push_again = false;
    entry.answered.clear();
    entry.learn_writes.reset();
    if (another) {
        entry.learned_tried.clear();
        entry.learned_saved = std::chrono::steady_clock::now();
        guest.record = {};
    }
    // It was said of its last life; before the first one libvirt may have told already.
    if (another && guest.pid != 0)
        guest.element_problem.clear();
    if (!guest.has_domain)
        guest.name = one_line(who.name, 255);
    guest.pid = peer.pid;
    guest.uid = peer.uid;
    guest.connected = true;
    guest.connected_unix_ms = guest.stats_unix_ms = unix_ms_now();
    ++guest.connections;
    guest.stats = std::move(who.stats);
    guest.stats_json = std::move(who.stats_json);
    measure_memory(guest);
    spdlog::info("guest {} ({}) is connected: process {}", one_line(guest.name, 128), guest.uuid,
                 guest.pid);
    tell([&](GuestObserver &observer) { observer.guest_connected(guest); });
    tell([&](GuestObserver &observer) { observer.guest_stats(guest); });
    ask_whether_paused(entry);
    refresh(entry);
    start_polling(entry);
}

// From now on its events tell. One that a migration is on its way to does not stand still: pages arrive.
void Guests::Impl::ask_whether_paused(GuestEntry &entry) {
    entry.guest.paused = false;
    execute(entry, "query-status", json::object(),
            [of = std::weak_ptr(shared(entry))](const Result<json> &answer) {
                const auto status =
                    answer ? text_in(*answer, "status") : tl::unexpected<Error>(answer.error());
                if (const auto guest = of.lock(); guest && status)
                    guest->guest.paused = *status == "paused";
            });
}

void Guests::Impl::disconnected(GuestEntry &entry, const Error &why) {
    const EntryPtr last = shared(entry);
    Guest &guest = entry.guest;
    ++counters_.disconnects;
    entry.session = nullptr;
    entry.stats.timer.cancel();
    entry.profile.timer.cancel();
    entry.stats.asked = entry.profile.asked = entry.saving_learned = false;
    entry.pushing = 0;
    guest.connected = guest.paused = false;
    if (guest.record.phase == RecordState::Phase::recording) {
        entry.record_timer.cancel();
        guest.record.phase = RecordState::Phase::failed;
        guest.record.sentence = "the guest's QEMU went away while it recorded";
    }
    if (stopped_)
        return;
    log_once("gone " + guest.uuid, "guest " + guest.name + " (" + guest.uuid +
                                       ") is not connected any more: " + why.sentence);
    tell([&](GuestObserver &observer) { observer.guest_disconnected(guest); });
    if (entry.stopped) {
        remove_if_gone(entry);
    } else if (!guest.has_domain) {
        entry.forget_timer.expires_after(kForgetAfter);
        entry.forget_timer.async_wait([weak = weak_from_this(), of = std::weak_ptr(last)](
                                          boost::system::error_code cancelled) {
            const auto self = weak.lock();
            if (const auto gone = of.lock(); self && gone && !cancelled)
                self->remove_if_gone(*gone);
        });
    }
}

} // namespace tidemark::daemon
