// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who may use the API's socket, as the kernel tells it of a process that connects with other rights than ours.
#include "daemon/http_peer.h"
#include "sys/unique_fd.h"

#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstring>
#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace tidemark;
using namespace tidemark::daemon;

namespace {

constexpr uid_t kStranger = 54321; // no such user need exist
constexpr gid_t kOther = 54322;

// A name in no folder, so that no mode of a file decides.
struct Address {
    Address() {
        address.sun_family = AF_UNIX;
        const std::string name = "tidemark-peer-test-" + std::to_string(getpid());
        std::memcpy(address.sun_path + 1, name.data(), name.size());
        bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    }
    const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&address); }

    sockaddr_un address{};
    socklen_t bytes = 0;
};

struct Rights {
    uid_t user = kStranger;
    gid_t group = kOther;
    std::vector<gid_t> more;
};

// What `check` says to a process with these rights.
bool allowed(const PeerCheck &check, const Rights &rights) {
    const Address address;
    const UniqueFd listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(listening.get(), address.get(), address.bytes) == 0);
    REQUIRE(listen(listening.get(), 1) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) { // nothing but system calls: the other process's locks came along
        const int ours = socket(AF_UNIX, SOCK_STREAM, 0);
        const bool well = setgroups(rights.more.size(), rights.more.data()) == 0 &&
                          setresgid(rights.group, rights.group, rights.group) == 0 &&
                          setresuid(rights.user, rights.user, rights.user) == 0 &&
                          connect(ours, address.get(), address.bytes) == 0;
        char byte = 0;
        // Until the other end is closed.
        if (well && read(ours, &byte, 1) == 0)
            _exit(0);
        _exit(1);
    }
    bool so = false;
    {
        // A child that fails before it connects closes nothing of ours: do not wait for it for ever.
        timeval bound{60, 0};
        setsockopt(listening.get(), SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
        const UniqueFd accepted(accept(listening.get(), nullptr, nullptr));
        REQUIRE(accepted.get() >= 0);
        so = check.allows(accepted.get());
    }
    int status = 1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    return so;
}

// A group of this machine other than root's.
const group *some_group() {
    setgrent();
    const group *found = getgrent();
    while (found != nullptr && found->gr_gid == 0)
        found = getgrent();
    endgrent();
    return found;
}

} // namespace

TEST_CASE("members of the group are let in, however they are members, and others are not") {
    if (getuid() != 0)
        SKIP("only root can take on other rights");
    const group *found = some_group();
    REQUIRE(found != nullptr);
    const gid_t gid = found->gr_gid;
    const auto check = PeerCheck::with_group(found->gr_name);
    REQUIRE(check);
    REQUIRE(check->group() == gid);

    CHECK(allowed(*check, {.more = {gid}}));
    CHECK(allowed(*check, {.more = {kOther, gid}}));
    CHECK(allowed(*check, {.group = gid, .more = {}}));
    std::vector<gid_t> many; // more than are asked for at first
    for (gid_t other = 60000; many.size() < 200; ++other)
        many.push_back(other);
    CHECK_FALSE(allowed(*check, {.more = many}));
    many.push_back(gid);
    CHECK(allowed(*check, {.more = many}));

    CHECK_FALSE(allowed(*check, {}));
    CHECK_FALSE(allowed(*check, {.more = {kOther}}));
    // Root's group is not root.
    CHECK_FALSE(allowed(*check, {.group = 0, .more = {0}}));
    CHECK(allowed(*check, {.user = 0, .more = {}}));
}

TEST_CASE("without a group only root and the daemon's own user are let in") {
    if (getuid() != 0)
        SKIP("only root can take on other rights");
    const auto check = PeerCheck::with_group("");
    REQUIRE(check);
    CHECK_FALSE(check->group());
    CHECK(allowed(*check, {.user = 0, .more = {}}));
    CHECK_FALSE(allowed(*check, {}));
    CHECK_FALSE(allowed(*check, {.group = 0, .more = {0, kOther}}));
}

TEST_CASE("a group that does not exist is refused with a sentence") {
    const auto check = PeerCheck::with_group("no-such-group-of-tidemark");
    REQUIRE_FALSE(check);
    CHECK(check.error().sentence.find("groupadd --system no-such-group-of-tidemark") !=
          std::string::npos);
}

TEST_CASE("what is no connection lets nobody in") {
    const auto check = PeerCheck::with_group("");
    REQUIRE(check);
    CHECK_FALSE(check->allows(-1));
}
