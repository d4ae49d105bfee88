// SPDX-License-Identifier: GPL-2.0-or-later
//
// Plain sockets and Beast's parser: with a blocking connect() of a Unix socket and poll(), one deadline
// over everything is exact, and a hook need not start an event loop.
#include "client/client.h"

#include "client/socket.h"

#include <algorithm>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>

namespace tidemark::client {

namespace http = boost::beast::http;

namespace {

bool same_name(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](char x, char y) { return lower(x) == lower(y); });
}

bool one_line(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

// What goes on the wire. A name or value with a line break in it would be a second request.
Result<std::string> request_text(std::string_view method, std::string_view target,
                                 std::string_view body, const std::vector<Header> &headers) {
    const auto plain = [](std::string_view text) {
        return !text.empty() && one_line(text) && text.find(' ') == std::string_view::npos;
    };
    if (!plain(method) || !plain(target) || target.front() != '/')
        return fail(EINVAL, "a request needs a method and a target that starts with '/'");
    std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\n" +
                       "Host: localhost\r\nConnection: close\r\nUser-Agent: tidemark\r\n";
    bool typed = false;
    for (const Header &header : headers) {
        if (!plain(header.name) || !one_line(header.value))
            return fail(EINVAL, "a header has a line break or no name");
        typed = typed || same_name(header.name, "Content-Type");
        text += header.name + ": " + header.value + "\r\n";
    }
    if (!body.empty() && !typed)
        text += "Content-Type: application/json\r\n";
    if (!body.empty() || method == "POST" || method == "PUT" || method == "PATCH")
        text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + std::string(body);
}

using Parser = http::response_parser<http::string_body>;

tl::unexpected<Error> not_understood(const std::string &socket_path,
                                     const boost::system::error_code &error) {
    if (error == http::error::body_limit || error == http::error::header_limit ||
        error == http::error::buffer_overflow)
        return fail(EMSGSIZE, "the answer on " + socket_path + " is larger than " +
                                  std::to_string(kBodyMost >> 20) + " MiB");
    if (error == http::error::end_of_stream || error == http::error::partial_message)
        return fail(EPROTO, "the answer on " + socket_path + " breaks off");
    return fail(EPROTO,
                "what answers on " + socket_path + " does not speak HTTP: " + error.message());
}

// Feeds the parser with what the socket has until the message is whole.
Result<void> read_reply(Connection &connection, Parser &parser) {
    // Room for the headers, which the parser wants in one piece, and for a piece of the body.
    boost::beast::flat_buffer buffer(kHeaderMost + (64U << 10));
    boost::system::error_code error;
    while (!parser.is_done()) {
        if (buffer.size() > 0) {
            const std::size_t used = parser.put(buffer.data(), error);
            buffer.consume(used);
            if (error == http::error::need_more)
                error = {};
            if (error)
                return not_understood(connection.path(), error);
            if (used > 0)
                continue;
        }
        if (buffer.size() == buffer.max_size())
            return not_understood(connection.path(), http::error::buffer_overflow);
        const std::size_t room =
            std::min<std::size_t>(16U << 10, buffer.max_size() - buffer.size());
        const auto space = buffer.prepare(room);
        const auto got = connection.read_some(static_cast<char *>(space.data()), space.size());
        if (!got)
            return tl::unexpected(got.error());
        buffer.commit(*got);
        if (*got == 0) {
            if (parser.got_some()) // it insists on that
                parser.put_eof(error);
            if (error || !parser.is_done())
                return not_understood(connection.path(), http::error::partial_message);
        }
    }
    return {};
}

} // namespace

std::string_view Reply::header(std::string_view name) const {
    for (const Header &each : headers)
        if (same_name(each.name, name))
            return each.value;
    return {};
}

Result<Reply> request(const std::string &socket_path, std::string_view method,
                      std::string_view target, std::string_view body,
                      std::chrono::milliseconds deadline, const std::vector<Header> &headers) {
    const auto text = request_text(method, target, body, headers);
    if (!text)
        return tl::unexpected(text.error());
    auto connection = Connection::open(socket_path, deadline);
    if (!connection)
        return tl::unexpected(connection.error());
    // A server that refuses may answer and close before it has read everything: its answer counts.
    const auto written = connection->write_all(*text);
    if (!written && written.error().code != EPIPE)
        return tl::unexpected(written.error());

    Parser parser;
    parser.eager(true);
    parser.header_limit(kHeaderMost);
    parser.body_limit(kBodyMost);
    parser.skip(method == "HEAD");
    if (auto read = read_reply(*connection, parser); !read)
        return tl::unexpected(read.error());

    Reply reply;
    const auto &message = parser.get();
    reply.status = message.result_int();
    for (const auto &field : message)
        reply.headers.push_back({{field.name_string().data(), field.name_string().size()},
                                 {field.value().data(), field.value().size()}});
    reply.body = message.body();
    return reply;
}

} // namespace tidemark::client
