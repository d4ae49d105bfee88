// SPDX-License-Identifier: GPL-2.0-or-later
//
// What one member of a group has learnt, the next one starts with. Kept below
// state_dir/learned/<group>, a file for each backend's id and size; the member that saved last wins.
// A QEMU that was in one group never gives to another one.
#include "daemon/guests_impl.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <spdlog/spdlog.h>
#include <utility>

namespace tidemark::daemon {

namespace {

// One that has been looked at for longer knows more by itself.
constexpr double kNewFor = 120; // seconds
// One that has been looked at for less knows nothing worth keeping.
constexpr double kKnowsAfter = 60;

std::string exchanged(const std::string &backend) {
    return "learned-" + backend + ".tmln";
}

std::string kept(const std::string &state_dir, const std::string &group,
                 const BackendStats &backend) {
    return state_dir + "/learned/" + group + "/" + backend.id + "-" + std::to_string(backend.size) +
           ".tmln";
}

const BackendStats *stats_of(const Guest &guest, const std::string &backend) {
    const auto found = std::find_if(guest.stats.begin(), guest.stats.end(),
                                    [&](const BackendStats &b) { return b.id == backend; });
    return found == guest.stats.end() ? nullptr : &*found;
}

} // namespace

// The note beside the exchange folder remembers it over a restart of the daemon; the folder itself is
// QEMU's, and not to be believed.
bool Guests::Impl::may_teach(GuestEntry &entry) {
    const Guest &guest = entry.guest;
    if (!guest.group)
        return false;
    const std::string note = group_note(guest.uuid);
    const std::string mine = std::to_string(guest.pid) + " ";
    if (entry.learned_group.empty()) {
        const std::string noted = read_note(note);
        entry.learned_group =
            noted.starts_with(mine) ? noted.substr(mine.size()) : guest.group->uuid;
        if (!noted.starts_with(mine)) {
            Result<void> written = exchange(entry).prepare();
            if (written)
                written = write_note(note, mine + guest.group->uuid);
            if (!written)
                log_once("exchange", written.error().sentence);
        }
    }
    return entry.learned_group == guest.group->uuid;
}

void Guests::Impl::save_learned(GuestEntry &entry, Done<Nothing> done) {
    entry.learned_saved = std::chrono::steady_clock::now();
    const Guest &guest = entry.guest;
    if (entry.saving_learned)
        return later(done, fail(EBUSY, "what it has learnt is being saved already"));
    if (!guest.group)
        return later(done, fail(EINVAL, "the guest is in no affinity group to save it for"));
    if (!may_teach(entry))
        return later(done, fail(EPERM, "the guest was of another affinity group when it was "
                                       "started; what it knows stays there"));
    std::vector<std::string> ids;
    for (const BackendProfile &profile : guest.profile)
        if (profile.seconds >= kKnowsAfter && is_file_name(profile.id) &&
            stats_of(guest, profile.id) != nullptr)
            ids.push_back(profile.id);
    if (ids.empty())
        return later(done, fail(EAGAIN, "nothing is known about the guest yet"));
    const Exchange folder = exchange(entry);
    if (const auto ready = folder.prepare(); !ready) {
        log_once("exchange", ready.error().sentence);
        return later(done, tl::unexpected<Error>(ready.error()));
    }
    entry.saving_learned = true;
    for_these(
        entry, ids, "tiered-memory-learned-save",
        [folder](const std::string &backend) {
            return json{{"id", backend}, {"file", folder.file(exchanged(backend))}};
        },
        [weak = weak_from_this(), of = std::weak_ptr(shared(entry)), ids, folder,
         group = guest.group->uuid,
         done = std::move(done)](const Result<std::vector<json>> &answers) {
            const auto self = weak.lock();
            const auto saved_of = of.lock();
            if (!self || !saved_of)
                return;
            saved_of->saving_learned = false;
            Result<void> saved;
            if (!answers)
                saved = tl::unexpected<Error>(answers.error());
            for (std::size_t i = 0; saved && i < ids.size(); ++i)
                if (const BackendStats *backend = stats_of(saved_of->guest, ids[i]))
                    saved = folder.take(exchanged(ids[i]),
                                        kept(self->options_.state_dir, group, *backend));
            if (!saved) {
                self->log_once("learned " + saved_of->guest.uuid,
                               "guest " + saved_of->guest.name +
                                   ": what it has learnt was not saved: " + saved.error().sentence);
                return done(tl::unexpected<Error>(saved.error()));
            }
            done(Nothing{});
        });
}

void Guests::Impl::load_learned(GuestEntry &entry) {
    const Guest &guest = entry.guest;
    if (!guest.group || !may_teach(entry))
        return;
    for (const BackendProfile &profile : guest.profile) {
        const BackendStats *backend = stats_of(guest, profile.id);
        if (backend == nullptr || !is_file_name(profile.id) ||
            !entry.learned_tried.insert(profile.id).second || profile.seconds > kNewFor)
            continue;
        const std::string from = kept(options_.state_dir, guest.group->uuid, *backend);
        std::error_code ignored;
        if (!std::filesystem::exists(from, ignored))
            continue;
        const Exchange folder = exchange(entry);
        if (const auto put = folder.put(from, exchanged(profile.id)); !put) {
            log_once("exchange", put.error().sentence);
            continue;
        }
        execute(entry, "tiered-memory-learned-load",
                {{"id", profile.id}, {"file", folder.file(exchanged(profile.id))}},
                [uuid = guest.uuid, group = guest.group->name](const Result<json> &answer) {
                    if (answer)
                        spdlog::info("guest {} starts with what group '{}' has learnt", uuid,
                                     one_line(group, 64));
                    else
                        spdlog::warn("guest {} does not take what group '{}' has learnt: {}", uuid,
                                     one_line(group, 64), one_line(answer.error().sentence));
                });
    }
}

} // namespace tidemark::daemon
