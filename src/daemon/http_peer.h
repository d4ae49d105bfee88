// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who may use the API's Unix socket: root, the daemon's own user, and members of one group. The socket's
// mode says the same; this also holds when somebody widens the mode, or hands a socket on.
#pragma once

#include "base/result.h"

#include <optional>
#include <string>
#include <sys/types.h>

namespace tidemark::daemon {

class PeerCheck {
  public:
    // A group that does not exist is refused with a sentence. Empty: no group.
    static Result<PeerCheck> with_group(const std::string &group);

    std::optional<gid_t> group() const { return group_; }
    // By what the kernel says about the other end of a connected Unix socket.
    bool allows(int socket) const;

  private:
    std::optional<gid_t> group_;
};

} // namespace tidemark::daemon
