// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the daemon keeps across restarts. One small interface, so that several hosts can share groups
// through something else than a file of this host later. What write() or put() said yes to is there
// after a kill or a power failure; each is done wholly or not at all.
#pragma once

#include "base/result.h"
#include "daemon/affinity_group.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::daemon {

// That `vm` is of the group `group_id`, and who said so. At most one by an operator and one by its
// own domain (or service) for each guest; the operator's is in force while both are there.
struct Membership {
    std::string vm; // UUID, lower case
    std::string group_id;
    std::string group_name; // what the group is called if it has to be formed again
    GroupOrigin origin = GroupOrigin::by_operator;

    bool operator==(const Membership &) const = default;
};

// Names a membership: the operator's of this guest, or its domain's.
struct MembershipKey {
    std::string vm;
    bool by_operator = true;
};

struct GroupChanges {
    std::vector<AffinityGroup> put_groups;
    std::vector<std::string> remove_groups; // ids
    std::vector<Membership> put_members;
    std::vector<MembershipKey> remove_members;
};

// Everything else is text or bytes by kind and key.
enum class RecordKind : std::uint8_t {
    settings = 1, // an operator's settings of one guest: JSON by the guest's UUID
    domain = 2,   // a domain that is prepared or runs: JSON by its UUID
    series = 3,   // what the arbiter and the similarity want to find again: bytes by any key
};

struct RecordBound {
    std::size_t bytes; // of one value
    std::size_t count; // of keys
};
// More is refused with ENOSPC, larger with EMSGSIZE, each with a sentence.
constexpr RecordBound record_bound(RecordKind kind) {
    switch (kind) {
    case RecordKind::settings:
        return {16U << 10, 4096};
    case RecordKind::domain:
        return {64U << 10, 4096};
    case RecordKind::series:
        return {256U << 10, 4096};
    }
    return {0, 0};
}
inline constexpr std::size_t kRecordKeyMost = 128; // bytes

// How right a forecast of a live migration was, in JSON as QEMU told it and takes it again.
struct ForecastError {
    std::string vm; // UUID
    std::int64_t unix_ms = 0;
    std::string error;
};
inline constexpr std::size_t kForecastErrorsMost = 128; // the oldest goes
inline constexpr std::size_t kForecastErrorBytes = 4096;

class Store {
  public:
    virtual ~Store() = default;

    virtual Result<std::vector<AffinityGroup>> groups() = 0;
    virtual Result<std::vector<Membership>> memberships() = 0;
    // The highest revision any group ever had.
    virtual Result<std::uint64_t> revision() = 0;
    virtual Result<void> write(const GroupChanges &changes) = 0;

    virtual Result<std::vector<std::string>> keys(RecordKind kind) = 0;
    // Nothing if there is no such key.
    virtual Result<std::optional<std::string>> get(RecordKind kind, std::string_view key) = 0;
    virtual Result<void> put(RecordKind kind, std::string_view key, std::string_view value) = 0;
    virtual Result<void> remove(RecordKind kind, std::string_view key) = 0; // absent: fine

    virtual Result<std::vector<ForecastError>> forecast_errors() = 0; // oldest first
    virtual Result<void> add(const ForecastError &error) = 0;
};

} // namespace tidemark::daemon
