// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/http_server.h"

#include "daemon/http_peer.h"
#include "daemon/http_session.h"

#include <boost/asio/io_context.hpp>

#include <cerrno>
#include <cstring>
#include <list>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace tidemark::daemon {
namespace {

using Local = asio::local::stream_protocol;
using Tcp = asio::ip::tcp;
using LocalStream = beast::basic_stream<Local>;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

Error system_error(const std::string &what, int code) {
    return {code, what + ": " + std::strerror(code)};
}

// Binds with the final mode from the first moment on.
Result<int> bind_unix(const std::string &path, std::optional<gid_t> group) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(ENAMETOOLONG, "the socket's path is longer than " +
                                      std::to_string(sizeof address.sun_path - 1) +
                                      " bytes: " + path);
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    struct stat there {};
    if (lstat(path.c_str(), &there) == 0) {
        if (!S_ISSOCK(there.st_mode)) {
            return fail(EEXIST, path + " is there, and is no socket; remove it");
        }
        unlink(path.c_str());
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return tl::unexpected(system_error("cannot make a socket", errno));
    }
    const mode_t before = umask(0117);
    const int bound = bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address);
    const int error = errno;
    umask(before);
    if (bound != 0) {
        ::close(fd);
        return tl::unexpected(system_error("cannot bind " + path, error));
    }
    if (group && chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) {
        const int refused = errno;
        ::close(fd);
        return tl::unexpected(system_error("cannot give " + path + " to its group", refused));
    }
    if (listen(fd, SOMAXCONN) != 0) {
        const int refused = errno;
        ::close(fd);
        return tl::unexpected(system_error("cannot listen on " + path, refused));
    }
    return fd;
}

Result<Tcp::endpoint> endpoint_of(const std::string &text) {
    const std::size_t colon = text.rfind(':');
    beast::error_code error;
    if (colon != std::string::npos) {
        std::string host = text.substr(0, colon);
        if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
            host = host.substr(1, host.size() - 2);
        }
        const auto address = asio::ip::make_address(host, error);
        const std::string port = text.substr(colon + 1);
        const bool digits = !port.empty() && port.size() <= 5 &&
                            port.find_first_not_of("0123456789") == std::string::npos;
        if (!error && digits && std::stoul(port) <= 65535) {
            return Tcp::endpoint(address, static_cast<unsigned short>(std::stoul(port)));
        }
    }
    return fail(EINVAL, "[api] tcp is '" + text +
                            "'; it must be an address and a port, like 192.0.2.1:8443 or "
                            "[2001:db8::1]:8443");
}

} // namespace

class HttpServer::Impl : public std::enable_shared_from_this<HttpServer::Impl> {
  public:
    Impl(asio::io_context &io, const Router &router, HttpLimits limits)
        : io_(io), shared_(std::make_shared<HttpShared>(HttpShared{router, limits, {}})) {}

    Result<void> adopt(int fd, PeerCheck check) {
        auto acceptor = std::make_shared<Local::acceptor>(io_);
        beast::error_code error;
        acceptor->assign(Local(), fd, error);
        if (error) {
            return fail(EINVAL, "cannot use the API's socket: " + error.message());
        }
        closers_.push_back([acceptor] {
            beast::error_code ignored;
            acceptor->close(ignored);
        });
        accept<Local>(acceptor, [this, check](Local::socket socket) {
            const bool allowed = check.allows(socket.native_handle());
            shared_->counters.turned_away += allowed ? 0 : 1;
            add(std::make_shared<StreamSession<LocalStream>>(LocalStream(std::move(socket)),
                                                             shared_, allowed));
        });
        return {};
    }

    Result<void> listen_tls(const TlsOptions &options) {
        auto endpoint = endpoint_of(options.address);
        if (!endpoint) {
            return tl::unexpected(endpoint.error());
        }
        auto context = tls_context(options);
        if (!context) {
            return tl::unexpected(context.error());
        }
        auto acceptor = std::make_shared<Tcp::acceptor>(io_);
        try {
            acceptor->open(endpoint->protocol());
            acceptor->set_option(asio::socket_base::reuse_address(true));
            acceptor->bind(*endpoint);
            acceptor->listen();
        } catch (const boost::system::system_error &error) {
            return fail(error.code().value(),
                        "cannot listen on " + options.address + ": " + error.code().message());
        }
        closers_.push_back([acceptor] {
            beast::error_code ignored;
            acceptor->close(ignored);
        });
        accept<Tcp>(acceptor, [this, tls = *context](Tcp::socket socket) {
            TlsStream stream(beast::tcp_stream(std::move(socket)), *tls);
            add(std::make_shared<StreamSession<TlsStream>>(std::move(stream), shared_, true));
        });
        return {};
    }

    void stop() {
        stopped_ = true;
        for (const auto &close : closers_) {
            close();
        }
        closers_.clear();
        for (const auto &weak : sessions_) {
            if (const auto session = weak.lock()) {
                session->close();
            }
        }
        sessions_.clear();
        for (const std::string &path : bound_) {
            unlink(path.c_str());
        }
        bound_.clear();
    }

    void remember(const std::string &path) { bound_.push_back(path); }

    Counters counters() const {
        Counters now = shared_->counters;
        now.open = 0;
        for (const auto &session : sessions_) {
            now.open += session.expired() ? 0 : 1;
        }
        return now;
    }

  private:
    // Held here rather than by value: sessions outlive the listener that made them.
    static Result<std::shared_ptr<asio::ssl::context>> tls_context(const TlsOptions &options) {
        auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
        const char *step = "";
        try {
            context->set_options(asio::ssl::context::default_workarounds |
                                 asio::ssl::context::no_sslv2 | asio::ssl::context::no_sslv3 |
                                 asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                                 asio::ssl::context::single_dh_use);
            context->set_verify_mode(asio::ssl::verify_peer |
                                     asio::ssl::verify_fail_if_no_peer_cert);
            step = "[api] client_ca";
            context->load_verify_file(options.client_ca);
            step = "[api] cert";
            context->use_certificate_chain_file(options.cert);
            step = "[api] key";
            context->use_private_key_file(options.key, asio::ssl::context::pem);
        } catch (const boost::system::system_error &error) {
            return fail(EINVAL, std::string(step) + " cannot be used: " + error.code().message());
        }
        return context;
    }

    template <typename Protocol, typename Take>
    void accept(std::shared_ptr<typename Protocol::acceptor> acceptor, Take take) {
        acceptor->async_accept([self = shared_from_this(), acceptor,
                                take](beast::error_code error, typename Protocol::socket socket) {
            if (self->stopped_) {
                return;
            }
            if (!error) {
                ++self->shared_->counters.connections;
                if (self->make_room()) {
                    take(std::move(socket));
                } else {
                    turn_away(socket);
                    ++self->shared_->counters.turned_away;
                }
                self->accept<Protocol>(acceptor, take);
                return;
            }
            // Out of descriptors, say: trying at once would only spin.
            auto pause = std::make_shared<asio::steady_timer>(self->io_);
            pause->expires_after(std::chrono::milliseconds(100));
            pause->async_wait([self, acceptor, take, pause](const beast::error_code &) {
                if (!self->stopped_) {
                    self->accept<Protocol>(acceptor, take);
                }
            });
        });
    }

    template <typename Session> void add(const std::shared_ptr<Session> &session) {
        sessions_.push_back(session);
        session->start();
    }

    // False if all connections are busy.
    bool make_room() {
        sessions_.remove_if([](const auto &session) { return session.expired(); });
        if (sessions_.size() < shared_->limits.connections) {
            return true;
        }
        auto longest = sessions_.end();
        std::optional<std::chrono::steady_clock::time_point> since;
        for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
            const auto session = it->lock();
            const auto idle = session->idle_since();
            if (idle && (!since || *idle < *since)) {
                since = idle;
                longest = it;
            }
        }
        if (longest == sessions_.end()) {
            return false;
        }
        longest->lock()->close();
        sessions_.erase(longest);
        return true;
    }

    template <typename Socket> static void turn_away(Socket &socket) {
        if constexpr (std::is_same_v<Socket, Local::socket>) {
            const std::string body =
                problem(503, "all connections are in use; try again in a moment").body;
            const std::string text = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                                     "Content-Type: application/problem+json\r\n"
                                     "Content-Length: " +
                                     std::to_string(body.size()) + "\r\n\r\n" + body;
            // It fits in the socket's buffer; a client that is gone hears nothing.
            [[maybe_unused]] const ssize_t sent = ::send(socket.native_handle(), text.data(),
                                                         text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }

    asio::io_context &io_;
    std::shared_ptr<HttpShared> shared_;
    std::list<std::weak_ptr<HttpSession>> sessions_;
    std::list<std::function<void()>> closers_;
    std::list<std::string> bound_;
    bool stopped_ = false;
};

HttpServer::HttpServer(asio::io_context &io, const Router &router, HttpLimits limits)
    : impl_(std::make_shared<Impl>(io, router, limits)) {}

HttpServer::~HttpServer() {
    impl_->stop();
}

Result<void> HttpServer::listen_unix(const std::string &path, const std::string &group) {
    auto check = PeerCheck::with_group(group);
    if (!check) {
        return tl::unexpected(check.error());
    }
    auto fd = bind_unix(path, check->group());
    if (!fd) {
        return tl::unexpected(fd.error());
    }
    impl_->remember(path);
    return impl_->adopt(*fd, *check);
}

Result<void> HttpServer::adopt_unix(int socket, const std::string &group) {
    auto check = PeerCheck::with_group(group);
    if (!check) {
        return tl::unexpected(check.error());
    }
    return impl_->adopt(socket, *check);
}

Result<void> HttpServer::listen_tls(const TlsOptions &options) {
    return impl_->listen_tls(options);
}

void HttpServer::stop() {
    impl_->stop();
}

HttpServer::Counters HttpServer::counters() const {
    return impl_->counters();
}

} // namespace tidemark::daemon
