// SPDX-License-Identifier: GPL-2.0-or-later
//
// A connection to a Unix socket on which everything together takes no longer than one deadline.
#pragma once

#include "base/result.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace tidemark::client {

class Connection {
  public:
    static Result<Connection> open(const std::string &path, std::chrono::milliseconds deadline);
    Connection(Connection &&other) noexcept;
    Connection &operator=(Connection &&) = delete;
    ~Connection();

    const std::string &path() const { return path_; }
    Result<void> write_all(std::string_view text);
    // 0: the other side has closed.
    Result<std::size_t> read_some(char *into, std::size_t size);

  private:
    using Clock = std::chrono::steady_clock;

    Connection(int fd, std::string path, std::chrono::milliseconds deadline);
    // Waits for `events` of poll(), not longer than the deadline.
    Result<void> wait_for(short events);
    Result<void> connect();
    tl::unexpected<Error> late() const;

    int fd_;
    std::string path_;
    std::chrono::milliseconds given_;
    Clock::time_point end_;
};

} // namespace tidemark::client
