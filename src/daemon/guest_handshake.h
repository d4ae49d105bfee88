// SPDX-License-Identifier: GPL-2.0-or-later
//
// The first questions to a QEMU that connected.
#pragma once

#include "base/result.h"
#include "daemon/guest_stats.h"
#include "daemon/qmp_session.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tidemark::daemon {

// What a QEMU says about itself; check_pid_file() and the resolved domain say whether to believe it.
struct Introduction {
    std::string uuid; // lower case
    std::string name; // may be empty
    std::vector<BackendStats> stats;
    std::string stats_json;
};

// Asks query-uuid, query-name and query-tiered-memory. A QEMU without a UUID or without tiered
// memory is an error with a sentence.
void introduce(const std::shared_ptr<QmpSession> &session, QmpSession::Duration deadline,
               std::function<void(Result<Introduction>)> done);

} // namespace tidemark::daemon
