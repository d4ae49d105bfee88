// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/settings.h"

#include "daemon/groups.h"
#include "daemon/json_body.h"
#include "domain/json_fields.h"
#include "domain/resolve.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

Result<void> read_number(const nlohmann::json &json, const char *name, std::uint64_t least,
                         std::uint64_t most, std::optional<std::uint64_t> &out) {
    const auto found = json.find(name);
    if (found == json.end() || found->is_null()) {
        return {};
    }
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() < least ||
        found->get<std::uint64_t>() > most) {
        return fail(EINVAL, std::string(name) + " must be a whole number from " +
                                std::to_string(least) + " to " + std::to_string(most));
    }
    out = found->get<std::uint64_t>();
    return {};
}

} // namespace

nlohmann::json settings_to_json(const GuestSettings &settings) {
    nlohmann::json json = {{"policy", policy_to_json(settings.policy)}};
    domain::put(json, "dramLimit", settings.dram_limit);
    domain::put(json, "dramFloor", settings.dram_floor);
    domain::put(json, "priority", settings.priority);
    return json;
}

Result<GuestSettings> settings_from_json(const nlohmann::json &json) {
    if (!json.is_object()) {
        return fail(EINVAL, std::string("settings must be an object, and are ") + json.type_name());
    }
    if (auto unknown = unknown_member(json, {"dramLimit", "dramFloor", "priority", "policy"})) {
        return fail(EINVAL, *unknown);
    }
    GuestSettings settings;
    std::optional<std::uint64_t> priority;
    for (auto read : {read_number(json, "dramLimit", domain::kDramLeast, domain::kSizeMost,
                                  settings.dram_limit),
                      read_number(json, "dramFloor", 0, domain::kSizeMost, settings.dram_floor),
                      read_number(json, "priority", 1, domain::kPriorityMost, priority)}) {
        if (!read) {
            return tl::unexpected(read.error());
        }
    }
    if (priority) {
        settings.priority = static_cast<std::uint32_t>(*priority);
    }
    if (const auto policy = json.find("policy"); policy != json.end() && !policy->is_null()) {
        auto said = policy_from_json(*policy, "policy");
        if (!said) {
            return tl::unexpected(said.error());
        }
        settings.policy = *said;
    }
    return settings;
}

Result<std::unique_ptr<Settings>> Settings::open(Store &store, const Groups &groups,
                                                 PolicySettings defaults) {
    std::unique_ptr<Settings> settings(new Settings(store, groups, defaults));
    auto keys = store.keys(RecordKind::settings);
    if (!keys) {
        return tl::unexpected(keys.error());
    }
    for (const std::string &uuid : *keys) {
        auto text = store.get(RecordKind::settings, uuid);
        if (!text) {
            return tl::unexpected(text.error());
        }
        auto json = parse_json(text->value_or("{}"));
        auto said = json ? settings_from_json(*json) : tl::unexpected(json.error());
        if (!said) {
            return fail(EBADMSG, "the settings of guest " + uuid +
                                     " cannot be read from the database: " + said.error().sentence);
        }
        settings->by_uuid_[uuid] = *said;
    }
    return settings;
}

Result<void> Settings::put(const std::string &uuid, const GuestSettings &settings) {
    const bool says_nothing = settings == GuestSettings{};
    auto written = says_nothing
                       ? store_.remove(RecordKind::settings, uuid)
                       : store_.put(RecordKind::settings, uuid, settings_to_json(settings).dump());
    if (!written) {
        return written;
    }
    if (says_nothing) {
        by_uuid_.erase(uuid);
    } else {
        by_uuid_[uuid] = settings;
    }
    return {};
}

GuestSettings Settings::operator_settings(const std::string &uuid) const {
    const auto found = by_uuid_.find(uuid);
    return found == by_uuid_.end() ? GuestSettings{} : found->second;
}

std::optional<GuestSettings> Settings::element_settings(const std::string &uuid) const {
    return element_ ? element_(uuid) : std::nullopt;
}

std::optional<GuestGroup> Settings::group_of(const Guest &guest) const {
    const AffinityGroup *group = groups_.group_of(guest.uuid);
    if (group == nullptr) {
        return std::nullopt;
    }
    return GuestGroup{group->id, group->name, group->priority, group->policy};
}

} // namespace tidemark::daemon
