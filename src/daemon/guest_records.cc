// SPDX-License-Identifier: GPL-2.0-or-later
//
// Working sets: recorded by one guest, kept below state_dir/recorded/<uuid>, brought back by the same
// guest or by another one of its group. What a group knows stays in it.
#include "daemon/guests_impl.h"

#include "domain/group_id.h"
#include "domain/recording.h"

#include <cerrno>
#include <filesystem>
#include <spdlog/spdlog.h>
#include <utility>

namespace tidemark::daemon {

namespace {

std::string exchanged(const std::string &backend) {
    return "record-" + backend + ".tmws";
}

std::string folder_of(const std::string &state_dir, const std::string &uuid) {
    return state_dir + "/recorded/" + uuid;
}

std::string kept(const std::string &folder, const std::string &backend) {
    return folder + "/" + backend + ".tmws";
}

std::string group_of(const Guest &guest) {
    return guest.group ? guest.group->uuid : std::string();
}

} // namespace

void Guests::Impl::record(const std::string &uuid, std::chrono::seconds length, RecordWhy why,
                          Done<Nothing> done) {
    GuestEntry *entry = connected(uuid, done);
    if (entry == nullptr)
        return;
    if (length.count() < 1 || length.count() > domain::kRecordMost)
        return later(
            done, fail(EINVAL, "seconds: it must be 1 to " + std::to_string(domain::kRecordMost)));
    const RecordState &before = entry->guest.record;
    const bool recording = before.phase == RecordState::Phase::recording;
    if (recording && (!before.gives_way || why == RecordWhy::warm_up))
        return later(done, fail(EBUSY, "the guest records already"));
    for (const std::string &id : backends(*entry))
        if (!is_file_name(id))
            return later(done, fail(EINVAL, "the guest's backend '" + one_line(id, 64) +
                                                "' cannot name a file"));
    if (recording)
        drop_recording(*entry);
    entry->guest.record = {RecordState::Phase::recording, false,
                           unix_ms_now() + length.count() * 1000, 0, ""};
    for_backends(
        *entry, "tiered-memory-record-start",
        [](const std::string &backend) {
            return json{{"id", backend}};
        },
        [weak = weak_from_this(), of = std::weak_ptr(shared(*entry)), length, why,
         done = std::move(done)](const Result<std::vector<json>> &answers) {
            const auto self = weak.lock();
            const auto guest = of.lock();
            if (!self || !guest)
                return;
            if (!answers) {
                guest->guest.record = {RecordState::Phase::failed, false, 0, 0,
                                       answers.error().sentence};
                self->drop_recording(*guest);
                return done(tl::unexpected<Error>(answers.error()));
            }
            guest->guest.record.gives_way = why == RecordWhy::warm_up;
            guest->record_timer.expires_after(length);
            guest->record_timer.async_wait([weak, of](boost::system::error_code cancelled) {
                const auto impl = weak.lock();
                const auto ended = of.lock();
                if (impl && ended && ended->session && !cancelled)
                    impl->end_record(*ended);
            });
            done(Nothing{});
        });
}

// Also of an earlier life of the daemon, whose end nobody told QEMU; the next attempt finds it free.
void Guests::Impl::drop_recording(GuestEntry &entry) {
    if (entry.session)
        for (const std::string &id : backends(entry))
            execute(entry, "tiered-memory-record-save", {{"id", id}}, [](const Result<json> &) {});
}

void Guests::Impl::end_record(GuestEntry &entry) {
    entry.guest.record.gives_way = false; // its end is under way
    const Exchange folder = exchange(entry);
    if (const auto ready = folder.prepare(); !ready) {
        entry.guest.record = {RecordState::Phase::failed, false, 0, 0, ready.error().sentence};
        drop_recording(entry);
        return;
    }
    for_backends(
        entry, "tiered-memory-record-save",
        [folder](const std::string &backend) {
            return json{{"id", backend}, {"file", folder.file(exchanged(backend))}};
        },
        [weak = weak_from_this(), of = std::weak_ptr(shared(entry)), ids = backends(entry),
         folder](const Result<std::vector<json>> &answers) {
            const auto self = weak.lock();
            const auto ended = of.lock();
            if (!self || !ended)
                return;
            Guest &guest = ended->guest;
            Result<void> saved;
            const auto pages =
                answers ? pages_in(*answers) : tl::unexpected<Error>(answers.error());
            if (!pages)
                saved = tl::unexpected<Error>(pages.error());
            const std::string to = folder_of(self->options_.state_dir, guest.uuid);
            for (std::size_t i = 0; saved && i < ids.size(); ++i)
                saved = folder.take(exchanged(ids[i]), kept(to, ids[i]));
            if (saved)
                saved = write_note(to + "/group", group_of(guest));
            if (saved)
                guest.record = {RecordState::Phase::saved, false, 0, *pages, ""};
            else
                guest.record = {RecordState::Phase::failed, false, 0, 0, saved.error().sentence};
            if (!saved)
                spdlog::warn("guest {}: its working set was not recorded: {}", guest.uuid,
                             one_line(saved.error().sentence));
        });
}

void Guests::Impl::replay(const std::string &uuid, const std::string &from_uuid,
                          Done<std::uint64_t> done) {
    GuestEntry *entry = connected(uuid, done);
    if (entry == nullptr)
        return;
    const auto from = domain::normal_uuid(from_uuid);
    if (!from)
        return later(done, fail(EINVAL, "'" + one_line(from_uuid, 64) + "' is not a UUID"));
    const std::string library = folder_of(options_.state_dir, *from);
    std::error_code ignored;
    if (!std::filesystem::exists(library + "/group", ignored))
        return later(done, fail(ENOENT, "no working set of guest " + *from + " was recorded"));
    const std::string group = group_of(entry->guest);
    if (*from != entry->guest.uuid && (group.empty() || read_note(library + "/group") != group))
        return later(done, fail(EPERM, "guest " + *from +
                                           " was not of the same affinity group when it recorded"));
    const Exchange folder = exchange(*entry);
    for (const std::string &id : backends(*entry)) {
        if (!is_file_name(id) || !std::filesystem::exists(kept(library, id), ignored))
            return later(done, fail(ENOENT, "nothing was recorded for the backend '" +
                                                one_line(id, 64) + "'"));
        if (const auto put = folder.put(kept(library, id), exchanged(id)); !put)
            return later(done, tl::unexpected<Error>(put.error()));
    }
    for_backends(
        *entry, "tiered-memory-replay",
        [folder](const std::string &backend) {
            return json{{"id", backend}, {"file", folder.file(exchanged(backend))}};
        },
        [done = std::move(done)](const Result<std::vector<json>> &answers) {
            done(answers ? pages_in(*answers) : tl::unexpected<Error>(answers.error()));
        });
}

} // namespace tidemark::daemon
