// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an operator said about single guests, kept in the store, and with it the four voices that make a
// guest's settings.
#pragma once

#include "base/result.h"
#include "daemon/guests.h"
#include "daemon/store.h"

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace tidemark::daemon {

class Groups;

class Settings : public SettingsSource {
  public:
    // What a guest's own element says; nothing if that is not known.
    using Element = std::function<std::optional<GuestSettings>(const std::string &uuid)>;

    // store and groups outlive it. defaults: the host's.
    static Result<std::unique_ptr<Settings>> open(Store &store, const Groups &groups,
                                                  PolicySettings defaults);

    void know_elements(Element element) { element_ = std::move(element); }
    // In the store before it returns. Settings that say nothing are removed.
    Result<void> put(const std::string &uuid, const GuestSettings &settings);

    GuestSettings operator_settings(const std::string &uuid) const override;
    std::optional<GuestSettings> element_settings(const std::string &uuid) const override;
    std::optional<GuestGroup> group_of(const Guest &guest) const override;
    PolicySettings defaults() const override { return defaults_; }

  private:
    Settings(Store &store, const Groups &groups, PolicySettings defaults)
        : store_(store), groups_(groups), defaults_(std::move(defaults)) {}

    Store &store_;
    const Groups &groups_;
    PolicySettings defaults_;
    std::map<std::string, GuestSettings> by_uuid_;
    Element element_;
};

// {"dramLimit","dramFloor","priority","policy"}; what nobody said is left out.
nlohmann::json settings_to_json(const GuestSettings &settings);
Result<GuestSettings> settings_from_json(const nlohmann::json &json);

} // namespace tidemark::daemon
