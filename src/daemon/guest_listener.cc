// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_listener.h"

#include <array>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace tidemark::daemon {

namespace {

constexpr std::size_t kPathMost = sizeof(sockaddr_un{}.sun_path) - 1;
// After accept() failed: mostly for want of file descriptors.
constexpr std::chrono::seconds kPause{1};

std::string errno_text(int error) {
    return std::strerror(error); // NOLINT(concurrency-mt-unsafe): glibc's is for known errors
}

std::optional<gid_t> group_kvm() {
    std::array<char, 16384> buffer{};
    group entry{};
    group *found = nullptr;
    if (getgrnam_r("kvm", &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
        return std::nullopt;
    return found->gr_gid;
}

} // namespace

GuestListener::GuestListener(boost::asio::io_context &io, std::string path, Accepted accepted)
    : acceptor_(io), pause_(io), path_(std::move(path)), accepted_(std::move(accepted)) {}

Result<std::shared_ptr<GuestListener>>
GuestListener::open(boost::asio::io_context &io, const std::string &path, Accepted accepted) {
    if (path.empty() || path.size() > kPathMost)
        return fail(ENAMETOOLONG, "the socket's path '" + path + "' is longer than " +
                                      std::to_string(kPathMost) +
                                      " bytes; choose a shorter run directory");
    std::shared_ptr<GuestListener> listener(new GuestListener(io, path, std::move(accepted)));
    if (const auto bound = listener->bind(); !bound)
        return tl::unexpected<Error>(bound.error());
    listener->accept();
    return listener;
}

Result<void> GuestListener::bind() {
    boost::system::error_code error;
    struct stat info {};
    if (lstat(path_.c_str(), &info) == 0) {
        if (!S_ISSOCK(info.st_mode))
            return fail(EEXIST, path_ + " is in the way: it is not a socket");
        Protocol::socket probe(acceptor_.get_executor());
        probe.connect(Protocol::endpoint(path_), error);
        if (!error)
            return fail(EADDRINUSE,
                        "somebody listens on " + path_ + " already; is another tidemarkd running?");
        unlink(path_.c_str());
        error.clear();
    }
    acceptor_.open(Protocol(), error);
    if (!error)
        acceptor_.bind(Protocol::endpoint(path_), error);
    if (error)
        return fail(error.value(), "cannot make the socket " + path_ + ": " + error.message());
    const std::optional<gid_t> kvm = group_kvm();
    if (kvm && chown(path_.c_str(), static_cast<uid_t>(-1), *kvm) != 0)
        spdlog::warn("cannot give {} to group kvm ({}): only QEMUs of this user can connect", path_,
                     errno_text(errno));
    if (chmod(path_.c_str(), 0660) != 0)
        return fail(errno, "cannot set the mode of " + path_ + ": " + errno_text(errno));
    acceptor_.listen(128, error);
    if (error)
        return fail(error.value(), "cannot listen on " + path_ + ": " + error.message());
    return {};
}

void GuestListener::accept() {
    acceptor_.async_accept(
        [self = shared_from_this()](boost::system::error_code failed, Protocol::socket socket) {
            if (!self->acceptor_.is_open())
                return;
            if (!failed) {
                self->take(std::move(socket));
                if (self->acceptor_.is_open())
                    self->accept();
                return;
            }
            spdlog::warn("cannot accept a QEMU's connection: {}", failed.message());
            self->pause_.expires_after(kPause);
            self->pause_.async_wait([self](boost::system::error_code cancelled) {
                if (!cancelled && self->acceptor_.is_open())
                    self->accept();
            });
        });
}

void GuestListener::take(Protocol::socket socket) {
    ucred credentials{};
    socklen_t length = sizeof(credentials);
    if (getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
        spdlog::warn("cannot tell who connected: {}", errno_text(errno));
        return;
    }
    accepted_(std::move(socket), Peer{credentials.pid, credentials.uid, credentials.gid});
}

void GuestListener::close() {
    if (!acceptor_.is_open())
        return;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    unlink(path_.c_str());
}

Result<void> check_pid_file(const std::string &dir, const std::string &name, pid_t pid) {
    if (name.empty())
        return {};
    if (name.find('/') != std::string::npos || name.size() > 200)
        return fail(EACCES, "its name is not one that libvirt would give");
    const std::string path = dir + "/" + name + ".pid";
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return {};
        return fail(errno, "cannot read " + path + ": " + errno_text(errno));
    }
    std::array<char, 32> text{};
    const ssize_t got = read(file, text.data(), text.size());
    ::close(file);
    long expected = 0;
    if (got <= 0 || std::from_chars(text.data(), text.data() + got, expected).ec != std::errc())
        return fail(EACCES, path + " holds no pid");
    if (expected != pid)
        return fail(EACCES, "process " + std::to_string(pid) + " says it is the domain '" + name +
                                "', but libvirt's pid of that is " + std::to_string(expected));
    return {};
}

} // namespace tidemark::daemon
