// SPDX-License-Identifier: GPL-2.0-or-later
//
// The socket that QEMUs connect to, and what the kernel says about who did.
#pragma once

#include "base/result.h"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

namespace boost::asio {
class io_context;
}

namespace tidemark::daemon {

// SO_PEERCRED: the process that connected, as it was then.
struct Peer {
    pid_t pid = 0; // 0: of another pid namespace
    uid_t uid = 0;
    gid_t gid = 0;
};

class GuestListener : public std::enable_shared_from_this<GuestListener> {
  public:
    using Protocol = boost::asio::local::stream_protocol;
    using Accepted = std::function<void(Protocol::socket, const Peer &)>;

    // Mode 0660, group kvm where there is one. What is left of a daemon that died is replaced; a
    // socket somebody listens on is an error.
    static Result<std::shared_ptr<GuestListener>> open(boost::asio::io_context &io,
                                                       const std::string &path, Accepted accepted);
    // Removes the socket.
    void close();

  private:
    GuestListener(boost::asio::io_context &io, std::string path, Accepted accepted);
    Result<void> bind();
    void accept();
    void take(Protocol::socket socket);

    Protocol::acceptor acceptor_;
    boost::asio::steady_timer pause_;
    std::string path_;
    Accepted accepted_;
};

// Whether `pid` may be the QEMU of libvirt's domain `name`: libvirt's NAME.pid in `dir` must have it, if
// there is such a file. A QEMU can claim any name, but not another one's pid.
Result<void> check_pid_file(const std::string &dir, const std::string &name, pid_t pid);

} // namespace tidemark::daemon
