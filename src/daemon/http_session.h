// SPDX-License-Identifier: GPL-2.0-or-later
//
// One connection: reads a request, hands it to the router, writes the answer, and again. Requests that
// were sent ahead wait in the buffer or the socket: one is answered at a time, in order. For
// http_server.cc alone: this is the one header that includes Beast.
#pragma once

#include "daemon/http_server.h"
#include "daemon/problem.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/version.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace tidemark::daemon {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

class HttpSession {
  public:
    virtual ~HttpSession() = default;
    virtual void start() = 0;
    virtual void close() = 0;
    // Since when it waits for a request; nothing while it works on one.
    virtual std::optional<std::chrono::steady_clock::time_point> idle_since() const = 0;
};

// What sessions share.
struct HttpShared {
    const Router &router;
    HttpLimits limits;
    HttpServer::Counters counters;
};

HttpRequest request_of(const http::request<http::string_body> &message);
http::response<http::string_body> message_of(HttpResponse response, unsigned version, bool keep,
                                             bool head);
// What a client hears whose request cannot be read; nothing if it went away.
std::optional<HttpResponse> answer_to_bad_request(const beast::error_code &error,
                                                  const HttpLimits &limits);
// A page of another site must not make a browser change something here.
std::optional<HttpResponse> refused_for_its_origin(const HttpRequest &request);

template <typename Stream>
class StreamSession : public HttpSession,
                      public std::enable_shared_from_this<StreamSession<Stream>> {
  public:
    using Ended = std::function<void(const StreamSession *)>;

    StreamSession(Stream stream, std::shared_ptr<HttpShared> shared, bool allowed)
        : stream_(std::move(stream)), shared_(std::move(shared)), allowed_(allowed),
          patience_(stream_.get_executor()), buffer_(kBufferBytes) {}

    void start() override {
        if constexpr (requires { stream_.next_layer(); }) {
            beast::get_lowest_layer(stream_).expires_after(shared_->limits.read);
            stream_.async_handshake(asio::ssl::stream_base::server,
                                    [self = this->shared_from_this()](beast::error_code error) {
                                        if (!error) {
                                            self->await_request();
                                        }
                                    });
        } else {
            await_request();
        }
    }

    void close() override {
        closed_ = true;
        patience_.cancel();
        beast::get_lowest_layer(stream_).close();
    }

    std::optional<std::chrono::steady_clock::time_point> idle_since() const override {
        return idle_since_;
    }

  private:
    // Holds what was sent ahead; a body is read through it in pieces.
    static constexpr std::size_t kBufferBytes = 64U << 10;
    static constexpr std::size_t kDrainBytes = 4U << 20;

    void await_request() {
        if (buffer_.size() > 0) {
            read_header();
            return;
        }
        idle_since_ = std::chrono::steady_clock::now();
        expire_after(shared_->limits.idle);
        stream_.async_read_some(
            buffer_.prepare(4096),
            [self = this->shared_from_this()](beast::error_code error, std::size_t bytes) {
                self->idle_since_.reset();
                if (!error) {
                    self->buffer_.commit(bytes);
                    self->read_header();
                }
            });
    }

    void read_header() {
        parser_.emplace();
        parser_->header_limit(shared_->limits.header_bytes);
        parser_->body_limit(shared_->limits.body_bytes);
        expire_after(shared_->limits.read);
        http::async_read_header(
            stream_, buffer_, *parser_,
            [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                error ? self->refuse(error) : self->header_is_here();
            });
    }

    void header_is_here() {
        const auto expect = parser_->get()[http::field::expect];
        if (expect.empty()) {
            read_body();
        } else if (!beast::iequals(expect, "100-continue")) {
            finish(problem(417, "the only expectation that is understood is 100-continue"));
        } else {
            static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
            asio::async_write(
                stream_, asio::buffer(kContinue.data(), kContinue.size()),
                [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                    if (!error) {
                        self->read_body();
                    }
                });
        }
    }

    void read_body() {
        http::async_read(stream_, buffer_, *parser_,
                         [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                             error ? self->refuse(error) : self->handle();
                         });
    }

    // A bad request is answered and the connection ends: where the next one would begin is not known.
    void refuse(beast::error_code error) {
        shared_->counters.timed_out += error == beast::error::timeout ? 1 : 0;
        if (auto answer = answer_to_bad_request(error, shared_->limits)) {
            finish(std::move(*answer));
        }
    }

    void finish(HttpResponse answer) {
        keep_ = false;
        head_ = false;
        write(std::move(answer));
    }

    void handle() {
        ++shared_->counters.requests;
        const auto &message = parser_->get();
        keep_ = message.keep_alive();
        head_ = message.method() == http::verb::head;
        version_ = message.version();
        HttpRequest request = request_of(message);
        if (!allowed_) {
            finish(problem(403, "this socket is for root, the daemon's user and members of the "
                                "group that the configuration names as api_group"));
            return;
        }
        if (auto refusal = refused_for_its_origin(request)) {
            write(std::move(*refusal));
            return;
        }
        const std::uint64_t turn = ++turn_;
        waiting_ = true;
        beast::get_lowest_layer(stream_).expires_never();
        patience_.expires_after(shared_->limits.handler);
        patience_.async_wait(
            [self = this->shared_from_this(), turn](const beast::error_code &error) {
                if (!error) {
                    ++self->shared_->counters.timed_out;
                    self->answer(turn, problem(504, "the daemon found no answer in time; what was "
                                                    "asked may still happen"));
                }
            });
        shared_->router.handle(std::move(request),
                               HttpReply([self = this->shared_from_this(), turn](HttpResponse it) {
                                   self->answer(turn, std::move(it));
                               }));
    }

    // An answer that comes after its deadline finds that another one was given.
    void answer(std::uint64_t turn, HttpResponse response) {
        if (turn != turn_ || !waiting_ || closed_) {
            return;
        }
        waiting_ = false;
        patience_.cancel();
        write(std::move(response));
    }

    void write(HttpResponse response) {
        if (closed_) {
            return;
        }
        response_.emplace(message_of(std::move(response), version_, keep_, head_));
        beast::get_lowest_layer(stream_).expires_after(shared_->limits.write);
        http::async_write(stream_, *response_,
                          [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                              self->response_.reset();
                              self->parser_.reset();
                              if (error) {
                                  self->shared_->counters.timed_out +=
                                      error == beast::error::timeout ? 1 : 0;
                                  return;
                              }
                              self->keep_ ? self->await_request() : self->hang_up();
                          });
    }

    // A client that still sends would find the connection reset and its answer lost: what it sends is
    // read and forgotten for a moment.
    void hang_up() {
        beast::error_code ignored;
        beast::get_lowest_layer(stream_).socket().shutdown(asio::socket_base::shutdown_send,
                                                           ignored);
        expire_after(std::chrono::seconds(2));
        drain();
    }

    void drain() {
        buffer_.consume(buffer_.size());
        beast::get_lowest_layer(stream_).async_read_some(
            buffer_.prepare(kBufferBytes),
            [self = this->shared_from_this()](beast::error_code error, std::size_t bytes) {
                self->drained_ += bytes;
                if (!error && self->drained_ < kDrainBytes) {
                    self->drain();
                }
            });
    }

    void expire_after(std::chrono::milliseconds length) {
        beast::get_lowest_layer(stream_).expires_after(length);
    }

    Stream stream_;
    std::shared_ptr<HttpShared> shared_;
    bool allowed_;
    asio::steady_timer patience_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    std::optional<http::response<http::string_body>> response_;
    std::optional<std::chrono::steady_clock::time_point> idle_since_;
    std::uint64_t turn_ = 0;
    unsigned version_ = 11;
    std::size_t drained_ = 0;
    bool keep_ = true, head_ = false, waiting_ = false, closed_ = false;
};

} // namespace tidemark::daemon
