// SPDX-License-Identifier: GPL-2.0-or-later
//
// The daemon as a whole: makes the parts and ties them together. Everything runs in the io_context's
// one thread; nothing here is on a guest's fault path.
#pragma once

#include "base/result.h"
#include "domain/host_config.h"

#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace tidemark::daemon {

class Daemon {
  public:
    // Makes the folders, takes the lock that keeps a second daemon out, opens the store. io outlives it.
    static Result<std::unique_ptr<Daemon>>
    create(boost::asio::io_context &io, const domain::HostConfig &config, std::string version);
    ~Daemon();
    Daemon(const Daemon &) = delete;
    Daemon &operator=(const Daemon &) = delete;

    // Listens for guests and for requests.
    Result<void> start();
    void stop();

  private:
    class Impl;
    explicit Daemon(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

} // namespace tidemark::daemon
