// SPDX-License-Identifier: GPL-2.0-or-later
//
// HTTP/1.1 on a Unix socket, and on TCP with mutual TLS only. Everything a client can make grow or last
// has a bound; who exceeds it gets an answer that says so, and is cut off.
#pragma once

#include "base/result.h"
#include "daemon/router.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace tidemark::daemon {

struct HttpLimits {
    std::uint32_t header_bytes = 8U << 10; // request line included
    std::uint64_t body_bytes = 1U << 20;
    // A new connection beyond that ends the one that has been idle longest; if all are busy, it
    // hears 503.
    std::size_t connections = 128;
    std::chrono::milliseconds idle{60000};    // between requests
    std::chrono::milliseconds read{10000};    // from a request's first byte to its last
    std::chrono::milliseconds handler{30000}; // until its answer
    std::chrono::milliseconds write{30000};   // until the client has taken it
};

struct TlsOptions {
    std::string address; // "127.0.0.1:8443", "[::1]:8443"
    std::string cert, key, client_ca;
};

class HttpServer {
  public:
    // io and router outlive it.
    HttpServer(boost::asio::io_context &io, const Router &router, HttpLimits limits);
    ~HttpServer();
    HttpServer(const HttpServer &) = delete;
    HttpServer &operator=(const HttpServer &) = delete;

    // Binds `path` with mode 0660 and group `group` (empty: ours). A socket that nobody listens on any
    // more is replaced; the caller makes sure that there is one daemon.
    Result<void> listen_unix(const std::string &path, const std::string &group);
    // A listening Unix socket that systemd made.
    Result<void> adopt_unix(int socket, const std::string &group);
    Result<void> listen_tls(const TlsOptions &options);
    // Closes everything. Sockets bound here are removed.
    void stop();

    struct Counters {
        std::uint64_t connections = 0, requests = 0;
        std::uint64_t turned_away = 0; // no room, or not allowed
        std::uint64_t timed_out = 0;   // in the middle of something
        std::size_t open = 0;
    };
    Counters counters() const;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace tidemark::daemon
