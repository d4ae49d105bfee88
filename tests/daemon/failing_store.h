// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "daemon/store.h"

#include <cerrno>

namespace tidemark::daemon::testing {

// Hands everything on, until it is told to fail.
class FailingStore : public Store {
  public:
    explicit FailingStore(Store &to) : to_(to) {}
    bool fails = false;

    Result<std::vector<AffinityGroup>> groups() override { return to_.groups(); }
    Result<std::vector<Membership>> memberships() override { return to_.memberships(); }
    Result<std::uint64_t> revision() override { return to_.revision(); }
    Result<void> write(const GroupChanges &changes) override {
        return fails ? fail(ENOSPC, "the disk is full") : to_.write(changes);
    }
    Result<std::vector<std::string>> keys(RecordKind kind) override { return to_.keys(kind); }
    Result<std::optional<std::string>> get(RecordKind kind, std::string_view key) override {
        return to_.get(kind, key);
    }
    Result<void> put(RecordKind kind, std::string_view key, std::string_view value) override {
        return to_.put(kind, key, value);
    }
    Result<void> remove(RecordKind kind, std::string_view key) override {
        return fails ? fail(ENOSPC, "the disk is full") : to_.remove(kind, key);
    }
    Result<std::vector<ForecastError>> forecast_errors() override { return to_.forecast_errors(); }
    Result<void> add(const ForecastError &error) override { return to_.add(error); }

  private:
    Store &to_;
};

} // namespace tidemark::daemon::testing
