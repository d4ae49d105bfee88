// SPDX-License-Identifier: GPL-2.0-or-later
//
// What QEMUs report by themselves.
#include "daemon/guests_impl.h"

#include <array>
#include <utility>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

std::string text_of(const json &data, const char *member) {
    const auto found = data.is_object() ? data.find(member) : data.end();
    if (!data.is_object() || found == data.end())
        return "?";
    return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string tier_of(const json &data) {
    return "tier " + text_of(data, "tier") + " (" + text_of(data, "class") + ")";
}

// One sentence for people.
std::string sentence_of(const std::string &name, const json &data) {
    std::string id = text_of(data, "id");
    if (name == "TIERED_MEMORY_ERROR")
        return id + ": the page at offset " + text_of(data, "offset") + " cannot be read from " +
               tier_of(data) + ": " + text_of(data, "error") +
               "; accesses to it wait for tiered-memory-resolve";
    if (name == "TIERED_MEMORY_RESOLVED")
        return id + ": the page at offset " + text_of(data, "offset") +
               (text_of(data, "poisoned") == "true" ? " was given up" : " was read back");
    if (name == "TIERED_MEMORY_TIER_DEGRADED")
        return id + ": " + tier_of(data) + " failed a write: " + text_of(data, "error");
    if (name == "TIERED_MEMORY_TIER_RECOVERED")
        return id + ": " + tier_of(data) + " takes writes again";
    if (name == "TIERED_MEMORY_PRESSURE")
        return id +
               ": DRAM is at its limit and nothing can leave it: every tier is full or degraded";
    if (name == "MIGRATION")
        return "migration: " + text_of(data, "status");
    if (name == "MIGRATE_FORECAST")
        return "migration: " + text_of(data, "verdict") + ": " + text_of(data, "reason");
    return id;
}

} // namespace

void Guests::Impl::take_event(GuestEntry &entry, const std::string &name, const json &data) {
    // The last moments in which it can still say what it has learnt.
    if (name == "POWERDOWN" || name == "SHUTDOWN") {
        save_learned(entry, [](const Result<Nothing> &) {});
        return;
    }
    if (name == "STOP" || name == "RESUME") {
        entry.guest.paused = name == "STOP";
        return;
    }
    static constexpr std::array<const char *, 7> kKnown = {"TIERED_MEMORY_ERROR",
                                                           "TIERED_MEMORY_RESOLVED",
                                                           "TIERED_MEMORY_TIER_DEGRADED",
                                                           "TIERED_MEMORY_TIER_RECOVERED",
                                                           "TIERED_MEMORY_PRESSURE",
                                                           "MIGRATION",
                                                           "MIGRATE_FORECAST"};
    if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end())
        return;
    Guest &guest = entry.guest;
    GuestEvent event{unix_ms_now(), name, one_line(sentence_of(name, data))};
    ++guest.event_count[name];
    log_once(name + " " + guest.uuid,
             "guest " + guest.name + " (" + guest.uuid + ") " + event.text);
    guest.events.push_back(std::move(event));
    if (guest.events.size() > Guest::kMaxEvents)
        guest.events.pop_front();
    tell([&](GuestObserver &observer) { observer.guest_event(guest, guest.events.back()); });
}

} // namespace tidemark::daemon
