// SPDX-License-Identifier: GPL-2.0-or-later
//
// The client against servers that answer well, badly, slowly, too much, or not at all.
#include "client/client.h"

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

using namespace tidemark::client;
using Catch::Matchers::ContainsSubstring;
using std::chrono::milliseconds;

namespace {

// Far beyond what any of this takes, so that a slow machine changes nothing.
constexpr milliseconds kLong{60'000};

class Server {
  public:
    using Serve = std::function<void(int)>;

    // Without `serve` it listens and accepts nobody.
    explicit Server(Serve serve, int backlog = 8) {
        REQUIRE(::mkdtemp(directory_.data()) != nullptr);
        path_ = std::string(directory_.data()) + "/s";
        listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path_.data(), path_.size());
        REQUIRE(::bind(listener_, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
        REQUIRE(::listen(listener_, backlog) == 0);
        if (serve)
            thread_ = std::thread([this, serve] {
                const int connection = ::accept(listener_, nullptr, nullptr);
                if (connection < 0)
                    return;
                serve(connection);
                ::close(connection);
            });
    }
    ~Server() {
        ::shutdown(listener_, SHUT_RDWR); // ends accept()
        if (thread_.joinable())
            thread_.join();
        ::close(listener_);
        ::unlink(path_.c_str());
        ::rmdir(directory_.data());
    }
    const std::string &path() const { return path_; }

  private:
    std::array<char, 32> directory_{"/tmp/tidemark-client-XXXXXX"};
    std::string path_;
    int listener_ = -1;
    std::thread thread_;
};

void send_text(int fd, const std::string &text) {
    for (std::size_t at = 0; at < text.size();) {
        const ssize_t sent = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += static_cast<std::size_t>(sent);
    }
}

// The request, up to what ends it: the empty line, and `body` bytes.
std::string received(int fd, std::size_t body = 0) {
    std::string text;
    std::array<char, 4096> piece;
    while (text.find("\r\n\r\n") == std::string::npos ||
           text.size() < text.find("\r\n\r\n") + 4 + body) {
        const ssize_t got = ::recv(fd, piece.data(), piece.size(), 0);
        if (got <= 0)
            break;
        text.append(piece.data(), static_cast<std::size_t>(got));
    }
    return text;
}

// Reads the request, then says this and closes.
Server::Serve says(const std::string &text) {
    return [text](int fd) {
        received(fd);
        send_text(fd, text);
    };
}

tidemark::Error error_of(const std::string &answer) {
    const Server server(says(answer));
    const auto reply = request(server.path(), "GET", "/", "", kLong);
    REQUIRE(!reply);
    CHECK_THAT(reply.error().sentence, ContainsSubstring(server.path()));
    return reply.error();
}

} // namespace

TEST_CASE("a reply has status, headers and body") {
    std::string seen;
    const Server server([&](int fd) {
        seen = received(fd, 7);
        send_text(fd, "HTTP/1.1 201 Created\r\nETag: \"7\"\r\nContent-Length: 5\r\n\r\nhello");
    });
    const auto reply = request(server.path(), "POST", "/api/v1/x?limit=1", "{\"a\":1}", kLong,
                               {{"If-Match", "\"6\""}});
    REQUIRE(reply);
    CHECK(reply->status == 201);
    CHECK(reply->ok());
    CHECK(reply->body == "hello");
    CHECK(reply->header("etag") == "\"7\"");
    CHECK(reply->header("none").empty());
    CHECK(seen.starts_with("POST /api/v1/x?limit=1 HTTP/1.1\r\n"));
    CHECK_THAT(seen, ContainsSubstring("If-Match: \"6\"\r\n") &&
                         ContainsSubstring("Content-Type: application/json\r\n") &&
                         ContainsSubstring("Content-Length: 7\r\n"));
    CHECK(seen.ends_with("\r\n\r\n{\"a\":1}"));
}

TEST_CASE("bodies end with their length, their last chunk, or the connection") {
    for (const char *rest :
         {"Content-Length: 3\r\n\r\nabc",
          "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "\r\nabc"}) {
        CAPTURE(rest);
        const Server server(says("HTTP/1.1 200 OK\r\n" + std::string(rest)));
        const auto reply = request(server.path(), "GET", "/", "", kLong);
        REQUIRE(reply);
        CHECK(reply->body == "abc");
    }
    const Server server(says("HTTP/1.1 204 No Content\r\n\r\n"));
    CHECK(request(server.path(), "DELETE", "/", "", kLong)->status == 204);
    const Server head(says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"));
    CHECK(request(head.path(), "HEAD", "/", "", kLong)->status == 200);
}

TEST_CASE("a reply may come one byte at a time, and a large one whole") {
    const std::string body(3'000'000, 'x');
    const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body;
    const Server large(says(text));
    CHECK(request(large.path(), "GET", "/", "", kLong)->body == body);
    const Server slow([](int fd) {
        received(fd);
        for (const char c : std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
            send_text(fd, std::string(1, c));
    });
    CHECK(request(slow.path(), "GET", "/", "", kLong)->body == "ok");
}

TEST_CASE("what does not speak HTTP, or breaks off, is EPROTO") {
    CHECK(error_of("").code == EPROTO);
    CHECK(error_of("SSH-2.0-OpenSSH\r\n\r\n").code == EPROTO);
    CHECK(error_of("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").code == EPROTO);
    CHECK(error_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").code == EPROTO);
    CHECK(error_of("HTTP/1.1 200 OK\r\n").code == EPROTO);
    CHECK(error_of(std::string(1000, '\0')).code == EPROTO);
}

TEST_CASE("what is too large is EMSGSIZE") {
    CHECK(error_of("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").code == EMSGSIZE);
    CHECK(error_of("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n").code ==
          EMSGSIZE);
    std::string chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::size_t sent = 0; sent <= kBodyMost; sent += 1U << 20)
        chunks += "100000\r\n" + std::string(1U << 20, 'x') + "\r\n";
    CHECK(error_of(chunks + "0\r\n\r\n").code == EMSGSIZE);
    CHECK(error_of("HTTP/1.1 200 OK\r\n\r\n" + std::string(kBodyMost + 1, 'x')).code == EMSGSIZE);
}

TEST_CASE("silence ends with the deadline, wherever it begins") {
    // The client's end of the connection is what ends these servers.
    const auto until_closed = [](int fd) {
        std::array<char, 4096> piece;
        while (::recv(fd, piece.data(), piece.size(), 0) > 0)
            continue;
    };
    const Server mute(until_closed);
    CHECK(request(mute.path(), "GET", "/", "", milliseconds(30)).error().code == ETIMEDOUT);
    const Server half([&](int fd) {
        received(fd);
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Le");
        until_closed(fd);
    });
    CHECK(request(half.path(), "GET", "/", "", milliseconds(30)).error().code == ETIMEDOUT);
    // Something comes all the time, so that no single wait is long.
    const Server dripping([](int fd) {
        received(fd);
        send_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
        pollfd closed{fd, POLLIN, 0};
        while (::poll(&closed, 1, 1) == 0)
            send_text(fd, "x");
    });
    CHECK(request(dripping.path(), "GET", "/", "", milliseconds(50)).error().code == ETIMEDOUT);
    const Server never({});
    CHECK(request(never.path(), "GET", "/", "", milliseconds(30)).error().code == ETIMEDOUT);
    // Its queue is full, so that not even connect() gets through.
    const Server full({}, 0);
    for (int i = 0; i < 2; ++i)
        CHECK(request(full.path(), "GET", "/", "", milliseconds(30)).error().code == ETIMEDOUT);
    const std::string large(8U << 20, 'x');
    CHECK(request(never.path(), "PUT", "/", large, milliseconds(30)).error().code == ETIMEDOUT);
}

TEST_CASE("a refusal that comes before the whole request was read is read") {
    const Server server([](int fd) {
        send_text(fd, "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n");
        ::shutdown(fd, SHUT_RD);
    });
    const auto reply = request(server.path(), "PUT", "/", std::string(8U << 20, 'x'), kLong);
    REQUIRE(reply);
    CHECK(reply->status == 413);
}

TEST_CASE("a daemon that is not there is said to be not there") {
    const auto none = request("/nonexistent/api.sock", "GET", "/", "", kLong);
    CHECK(none.error().code == ENOENT);
    CHECK(none.error().sentence ==
          "tidemarkd is not running: there is no socket /nonexistent/api.sock");
    CHECK(request(std::string(200, 'x'), "GET", "/", "", kLong).error().code == ENAMETOOLONG);
    std::string path;
    {
        const Server gone(says(""));
        path = gone.path();
    }
    CHECK(request(path, "GET", "/", "", kLong).error().code == ENOENT);
}

TEST_CASE("nothing can be smuggled into a request") {
    for (const char *target : {"", "x", "/a b", "/a\r\nX: y", "/\n"})
        CHECK(request("/nonexistent", "GET", target, "", kLong).error().code == EINVAL);
    CHECK(request("/nonexistent", "GET", "/", "", kLong, {{"A", "b\r\nC: d"}}).error().code ==
          EINVAL);
    CHECK(escape("a/b c?\xc3\xa4~") == "a%2Fb%20c%3F%C3%A4~");
}

TEST_CASE("a problem is told in its own words") {
    Reply reply;
    reply.status = 409;
    CHECK(problem_sentence(reply) == "tidemarkd answered with HTTP status 409");
    reply.body = R"({"title":"Conflict"})";
    CHECK(problem_sentence(reply) == "Conflict");
    reply.body = R"({"title":"Conflict","detail":"the floor does not fit"})";
    CHECK(problem_sentence(reply) == "the floor does not fit");
    reply.body = R"({"detail":7,"title":""})";
    CHECK(problem_sentence(reply) == "tidemarkd answered with HTTP status 409");
}
