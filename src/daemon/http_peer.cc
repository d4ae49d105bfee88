// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/http_peer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <grp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace tidemark::daemon {
namespace {

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

// The peer's supplementary groups, as they were when it connected.
std::vector<gid_t> groups_of_peer(int socket) {
    std::vector<gid_t> groups(64);
    for (int attempt = 0; attempt < 2; ++attempt) {
        socklen_t bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        const int status = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes);
        if (status == 0) {
            groups.resize(bytes / sizeof(gid_t));
            return groups;
        }
        if (errno != ERANGE) {
            break;
        }
        groups.resize(bytes / sizeof(gid_t));
    }
    return {};
}

} // namespace

Result<PeerCheck> PeerCheck::with_group(const std::string &group) {
    PeerCheck check;
    if (group.empty()) {
        return check;
    }
    std::vector<char> space(1U << 16);
    struct group entry {};
    struct group *found = nullptr;
    getgrnam_r(group.c_str(), &entry, space.data(), space.size(), &found);
    if (found == nullptr) {
        return fail(ENOENT, "api_group '" + group +
                                "' does not exist; create it with 'groupadd --system " + group +
                                "', or remove api_group from the configuration");
    }
    check.group_ = entry.gr_gid;
    return check;
}

bool PeerCheck::allows(int socket) const {
    ucred peer{};
    socklen_t bytes = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) {
        return false;
    }
    if (peer.uid == 0 || peer.uid == getuid()) {
        return true;
    }
    if (!group_) {
        return false;
    }
    const std::vector<gid_t> groups = groups_of_peer(socket);
    return peer.gid == *group_ || std::find(groups.begin(), groups.end(), *group_) != groups.end();
}

} // namespace tidemark::daemon
