// SPDX-License-Identifier: GPL-2.0-or-later
//
// The inside of Guests; each subject has a .cc of its own. One thread. What runs later holds a weak
// pointer to its guest's entry: the entry dies with its record or with Guests, and then nothing happens.
#pragma once

#include "daemon/guest_files.h"
#include "daemon/guest_handshake.h"
#include "daemon/guest_listener.h"
#include "daemon/guests.h"
#include "daemon/log_limit.h"
#include "daemon/qmp_session.h"
#include "domain/resolve.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::daemon {

std::int64_t unix_ms_now();
// A peer's words in a log or a page: one line, printable, not long.
std::string one_line(const std::string &text, std::size_t most = 512);

// A record and what goes on with it.
struct GuestEntry {
    using Timer = boost::asio::steady_timer;
    explicit GuestEntry(boost::asio::io_context &io)
        : stats(io), profile(io), record_timer(io), forget_timer(io) {}

    // Something that is asked over and over.
    struct Poll {
        explicit Poll(boost::asio::io_context &io) : timer(io) {}
        Timer timer;
        bool asked = false; // and not answered yet
    };

    Guest guest;
    std::shared_ptr<QmpSession> session; // null while not connected
    gid_t gid = 0;
    bool stopped = false; // libvirt says so

    Poll stats, profile;
    Timer record_timer, forget_timer;

    // Somebody ever had a word about this guest, so what nobody says goes back to QEMU's default.
    bool managed = false;
    // Settings on their way, by backend; again: something changed meanwhile.
    std::size_t pushing = 0;
    bool push_again = false;
    // Counts what QEMU took: a query that was sent before that may still tell the old settings.
    std::uint64_t settings_generation = 0;
    // What was answered last, taken or refused, by backend: not sent again as long as it is the same.
    std::map<std::string, nlohmann::json> answered;
    std::optional<bool> learn_writes; // what its QEMU was told, if anybody had a word about it

    // The group whose members' knowledge this QEMU has; "": none yet.
    std::string learned_group;
    std::set<std::string> learned_tried; // backends whose knowledge was looked for
    std::chrono::steady_clock::time_point learned_saved{};
    bool saving_learned = false;
};
using EntryPtr = std::shared_ptr<GuestEntry>;

class Guests::Impl : public std::enable_shared_from_this<Guests::Impl> {
  public:
    using json = nlohmann::json;

    Impl(boost::asio::io_context &io, GuestsOptions options, const SettingsSource &source);

    // guests.cc: records
    Result<void> start();
    void stop();
    GuestEntry *find(std::string_view uuid) const;
    GuestEntry &entry_of(const std::string &uuid); // made if there is none
    Result<void> reread_domain(const std::string &uuid);
    void read_domains();
    void domain_stopped(const std::string &uuid);
    void set_element_problem(const std::string &uuid, const std::string &sentence);
    static void measure_memory(Guest &guest);
    void refresh(GuestEntry &entry);
    void grant(const std::string &uuid, std::uint64_t bytes);
    void remove_if_gone(GuestEntry &entry);
    template <typename Call> void tell(Call call) {
        for (GuestObserver *observer : observers_)
            call(*observer);
    }
    void log_once(const std::string &key, const std::string &sentence);

    // guest_connections.cc: QEMUs that come and go
    void accepted(QmpSession::Socket socket, const Peer &peer);
    Result<GuestEntry *> believe(const Introduction &who, const Peer &peer);
    void ask_whether_paused(GuestEntry &entry);
    void adopt(GuestEntry &entry, std::shared_ptr<QmpSession> session, Introduction who,
               const Peer &peer);
    void disconnected(GuestEntry &entry, const Error &why);

    // guest_polls.cc
    void start_polling(GuestEntry &entry);
    // What a poll asks, how often, and who takes the answer; generation: settings_generation when asked.
    struct Question {
        GuestEntry::Poll GuestEntry::*poll;
        std::chrono::milliseconds GuestsOptions::*period;
        const char *command;
        json arguments;
        void (Impl::*take)(GuestEntry &, const Result<json> &, std::uint64_t generation);
    };
    static const Question kStats, kProfile;
    void poll(GuestEntry &entry, const Question &question);
    void take_stats(GuestEntry &entry, const Result<json> &answer, std::uint64_t generation);
    void follow_memory(GuestEntry &entry);
    void take_profile(GuestEntry &entry, const Result<json> &answer, std::uint64_t generation);

    // guest_push.cc
    void push_settings(GuestEntry &entry);
    void push_learn_writes(GuestEntry &entry);
    void take_pushed(GuestEntry &entry, const std::string &backend, const json &arguments,
                     const Result<json> &answer);

    // guest_events.cc
    void take_event(GuestEntry &entry, const std::string &name, const json &data);

    // guest_commands.cc
    void execute(GuestEntry &entry, const std::string &command, const json &arguments,
                 QmpSession::Reply reply, bool out_of_band = false);
    // The entry of a guest that is connected, else done gets the reason, later.
    template <typename T> GuestEntry *connected(const std::string &uuid, const Done<T> &done) {
        GuestEntry *entry = find(uuid);
        if (entry != nullptr && entry->session)
            return entry;
        later(done, entry == nullptr
                        ? fail(ENOENT, "there is no guest " + uuid)
                        : fail(ENOTCONN, "the guest's QEMU is not connected to the daemon"));
        return nullptr;
    }
    template <typename T> void later(const Done<T> &done, tl::unexpected<Error> error) {
        boost::asio::post(io_, [done, error = std::move(error)] { done(error); });
    }
    // One command for each backend, one after the other, until one fails.
    using ForBackend = std::function<json(const std::string &backend)>;
    void for_backends(GuestEntry &entry, const std::string &command, ForBackend arguments,
                      Done<std::vector<json>> done) {
        for_these(entry, backends(entry), command, std::move(arguments), std::move(done));
    }
    void for_these(GuestEntry &entry, std::vector<std::string> ids, const std::string &command,
                   ForBackend arguments, Done<std::vector<json>> done);
    static std::vector<std::string> backends(const GuestEntry &entry);
    // The sum of what each backend answered as "pages".
    static Result<std::uint64_t> pages_in(const std::vector<json> &answers);

    // guest_records.cc: working sets
    void record(const std::string &uuid, std::chrono::seconds length, RecordWhy why,
                Done<Nothing> done);
    void end_record(GuestEntry &entry);
    void drop_recording(GuestEntry &entry);
    void replay(const std::string &uuid, const std::string &from_uuid, Done<std::uint64_t> done);

    // guest_learned.cc
    void save_learned(GuestEntry &entry, Done<Nothing> done);
    void load_learned(GuestEntry &entry);
    // Its group is the one it has been of since its QEMU began.
    bool may_teach(GuestEntry &entry);

    EntryPtr shared(GuestEntry &entry) const { return entries_.at(entry.guest.uuid); }
    std::string domain_file(const std::string &uuid) const;
    Exchange exchange(const GuestEntry &entry) const;
    std::string group_note(const std::string &uuid) const;

    boost::asio::io_context &io_;
    const GuestsOptions options_;
    const SettingsSource &source_;
    std::vector<GuestObserver *> observers_;
    std::map<std::string, EntryPtr, std::less<>> entries_;
    std::shared_ptr<GuestListener> listener_;
    std::set<std::shared_ptr<QmpSession>> arriving_; // not adopted yet
    bool stopped_ = false;
    LogLimit log_limit_;
    Counters counters_;
    QmpSession::Counters ended_; // of sessions that are over
};

} // namespace tidemark::daemon
