// SPDX-License-Identifier: GPL-2.0-or-later
#include "client/socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace tidemark::client {

namespace {
tl::unexpected<Error> broken(const std::string &path, int code) {
    return fail(code, "the connection to " + path + " broke: " + std::strerror(code));
}
} // namespace

Connection::Connection(int fd, std::string path, std::chrono::milliseconds deadline)
    : fd_(fd), path_(std::move(path)), given_(deadline), end_(Clock::now() + deadline) {}

Connection::Connection(Connection &&other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), given_(other.given_),
      end_(other.end_) {}

Connection::~Connection() {
    if (fd_ >= 0)
        ::close(fd_);
}

tl::unexpected<Error> Connection::late() const {
    return fail(ETIMEDOUT, "nobody answered on " + path_ + " within " +
                               std::to_string(given_.count()) + " ms");
}

Result<Connection> Connection::open(const std::string &path, std::chrono::milliseconds deadline) {
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        return fail(ENAMETOOLONG, "the socket's path " + path + " is longer than " +
                                      std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(errno, std::string("no socket can be made: ") + std::strerror(errno));
    Connection connection(fd, path, deadline);
    if (auto connected = connection.connect(); !connected)
        return tl::unexpected(connected.error());
    return connection;
}

// Blocking, with the kernel's own time limit: a nonblocking connect() would only say EAGAIN when the
// server's queue is full, and there is nothing to wait on.
Result<void> Connection::connect() {
    const auto us = std::max<std::int64_t>(
        1, std::chrono::duration_cast<std::chrono::microseconds>(given_).count());
    const timeval limit{us / 1'000'000, us % 1'000'000};
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);

    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    if (::connect(fd_, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0)
        return {};
    switch (errno) {
    case EAGAIN:
    case EINTR:
        return late();
    case ENOENT:
        return fail(ENOENT, "tidemarkd is not running: there is no socket " + path_);
    case ECONNREFUSED:
        return fail(ECONNREFUSED, "tidemarkd is not running: nobody listens on " + path_);
    case EACCES:
    case EPERM:
        return fail(EACCES, "no permission to use " + path_ +
                                ": be root, or in the group that api_group names");
    default:
        return fail(errno, "connecting to " + path_ + " failed: " + std::strerror(errno));
    }
}

Result<void> Connection::wait_for(short events) {
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end_ - Clock::now()).count();
        if (left <= 0)
            return late();
        pollfd wanted{fd_, events, 0};
        const int ready =
            ::poll(&wanted, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
        if (ready > 0)
            return {};
        if (ready < 0 && errno != EINTR)
            return broken(path_, errno);
    }
}

Result<void> Connection::write_all(std::string_view text) {
    while (!text.empty()) {
        if (auto ready = wait_for(POLLOUT); !ready)
            return ready;
        const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return broken(path_, errno);
        if (sent > 0)
            text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
}

Result<std::size_t> Connection::read_some(char *into, std::size_t size) {
    for (;;) {
        if (auto ready = wait_for(POLLIN); !ready)
            return tl::unexpected(ready.error());
        const ssize_t got = ::recv(fd_, into, size, MSG_DONTWAIT);
        if (got >= 0)
            return static_cast<std::size_t>(got);
        if (errno != EAGAIN && errno != EINTR)
            return broken(path_, errno);
    }
}

} // namespace tidemark::client
