// SPDX-License-Identifier: GPL-2.0-or-later
//
// The questions asked of each guest over and over.
#include "daemon/guests_impl.h"
#include "daemon/settings_difference.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace tidemark::daemon {

namespace {

// Where in the period this guest's turn is, so that 200 guests that came back together do not stay so.
std::chrono::milliseconds turn_of(const std::string &uuid, std::chrono::milliseconds period) {
    std::uint64_t hash = 14695981039346656037U; // FNV-1a: the same turn in each life of the daemon
    for (const char c : uuid)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    return std::chrono::milliseconds(
        (hash >> 16) % static_cast<std::uint64_t>(std::max<std::int64_t>(period.count(), 1)));
}

// Settings as they are known, for a backend whose answer may be older than what was set since.
void keep_settings(const std::vector<BackendStats> &known, std::vector<BackendStats> &answered) {
    for (BackendStats &backend : answered) {
        const auto of = std::find_if(known.begin(), known.end(),
                                     [&](const BackendStats &k) { return k.id == backend.id; });
        if (of == known.end())
            continue;
        backend.dram_limit = of->dram_limit;
        backend.eviction = of->eviction;
        backend.cold_age_s = of->cold_age_s;
        backend.prefetch = of->prefetch;
        backend.prefetch_window_s = of->prefetch_window_s;
        backend.learn = of->learn;
        backend.reclaim_slowdown_permille = of->reclaim_slowdown_permille;
    }
}

} // namespace

const Guests::Impl::Question Guests::Impl::kStats{&GuestEntry::stats, &GuestsOptions::stats_period,
                                                  "query-tiered-memory", json::object(),
                                                  &Guests::Impl::take_stats};
const Guests::Impl::Question Guests::Impl::kProfile{&GuestEntry::profile,
                                                    &GuestsOptions::profile_period,
                                                    "query-tiered-memory-profile",
                                                    {{"heat", true}},
                                                    &Guests::Impl::take_profile};

void Guests::Impl::start_polling(GuestEntry &entry) {
    const std::string &uuid = entry.guest.uuid;
    entry.stats.timer.expires_after(turn_of(uuid, options_.stats_period));
    entry.profile.timer.expires_after(turn_of(uuid, options_.profile_period) +
                                      options_.stats_period / 2);
    poll(entry, kStats);
    poll(entry, kProfile);
}

// Waits for this guest's turn, asks, and sets the next one. A guest that has not answered the last
// question is not asked again.
void Guests::Impl::poll(GuestEntry &entry, const Question &question) {
    (entry.*question.poll)
        .timer.async_wait([weak = weak_from_this(), of = std::weak_ptr(shared(entry)),
                           &question](boost::system::error_code cancelled) {
            const auto self = weak.lock();
            const auto guest = of.lock();
            if (cancelled || !self || !guest || !guest->session)
                return;
            GuestEntry::Poll &turn = (*guest).*question.poll;
            const auto period = self->options_.*question.period;
            turn.timer.expires_at(
                std::max(turn.timer.expiry(), std::chrono::steady_clock::now() - period) + period);
            self->poll(*guest, question);
            if (std::exchange(turn.asked, true)) {
                ++guest->guest.poll_failures;
                return;
            }
            self->execute(
                *guest, question.command, question.arguments,
                [weak, of, &question,
                 generation = guest->settings_generation](const Result<json> &answer) {
                    const auto impl = weak.lock();
                    if (const auto asked = of.lock(); impl && asked) {
                        ((*asked).*question.poll).asked = false;
                        ((*impl).*question.take)(*asked, answer, generation);
                    }
                },
                true);
        });
}

void Guests::Impl::take_stats(GuestEntry &entry, const Result<json> &answer,
                              std::uint64_t generation) {
    Guest &guest = entry.guest;
    if (!answer) {
        ++guest.poll_failures;
        return;
    }
    Result<std::vector<BackendStats>> stats = parse_stats(*answer);
    if (!stats) {
        ++guest.poll_failures;
        log_once("stats " + guest.uuid, "guest " + guest.name + ": " + stats.error().sentence);
        return;
    }
    if (entry.pushing > 0 || generation != entry.settings_generation)
        keep_settings(guest.stats, *stats);
    guest.stats = std::move(*stats);
    guest.stats_json = answer->dump();
    guest.stats_unix_ms = unix_ms_now();
    follow_memory(entry);
    tell([&](GuestObserver &observer) { observer.guest_stats(guest); });
    // A hot-plugged backend, what was not answered in time, what somebody else changed.
    push_settings(entry);
}

// A DIMM that came or went takes its share of what was granted with it, as QEMU gives it one: the memory that
// was there keeps what it had.
void Guests::Impl::follow_memory(GuestEntry &entry) {
    Guest &guest = entry.guest;
    const std::uint64_t was = guest.memory;
    measure_memory(guest);
    if (guest.memory == was || was == 0)
        return;
    guest.granted = scaled(guest.granted, guest.memory, was);
    refresh(entry);
    tell([&](GuestObserver &observer) { observer.guest_domain_changed(guest); });
}

void Guests::Impl::take_profile(GuestEntry &entry, const Result<json> &answer,
                                std::uint64_t /*generation*/) {
    Guest &guest = entry.guest;
    if (!answer && answer.error().code != EINVAL) {
        ++guest.poll_failures;
        return;
    }
    // EINVAL: nothing is learnt about it, because "learn" is off.
    Result<std::vector<BackendProfile>> profile =
        answer ? parse_profile(*answer) : std::vector<BackendProfile>{};
    if (!profile) {
        ++guest.poll_failures;
        log_once("profile " + guest.uuid, "guest " + guest.name + ": " + profile.error().sentence);
        return;
    }
    guest.profile = std::move(*profile);
    guest.profile_json = answer ? answer->dump() : std::string();
    guest.profile_unix_ms = unix_ms_now();
    guest.history.add(guest.profile_unix_ms, guest.profile, guest.stats);
    tell([&](GuestObserver &observer) { observer.guest_profile(guest); });
    load_learned(entry);
    if (!guest.profile.empty() &&
        std::chrono::steady_clock::now() - entry.learned_saved > options_.save_learned_period)
        save_learned(entry, [](const Result<Nothing> &) {}); // says itself what went wrong
}

} // namespace tidemark::daemon
