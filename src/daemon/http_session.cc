// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/http_session.h"

namespace tidemark::daemon {
namespace {

std::string lower(std::string text) {
    for (char &letter : text) {
        letter = static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter + ('a' - 'A') : letter);
    }
    return text;
}

} // namespace

HttpRequest request_of(const http::request<http::string_body> &message) {
    HttpRequest request;
    request.method = std::string(message.method_string());
    request.path = std::string(message.target());
    for (const auto &field : message) {
        request.headers[lower(std::string(field.name_string()))] = std::string(field.value());
    }
    request.body = message.body();
    return request;
}

http::response<http::string_body> message_of(HttpResponse response, unsigned version, bool keep,
                                             bool head) {
    http::response<http::string_body> message;
    message.version(version);
    message.result(response.status);
    message.reason(response.status >= 400 ? status_title(response.status)
                                          : http::obsolete_reason(message.result()));
    message.set(http::field::server, "tidemarkd");
    // The answers change by the second, and belong to who asked.
    message.set(http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    for (const auto &[name, value] : response.headers) {
        message.set(name, value);
    }
    message.keep_alive(keep);
    const std::size_t bytes = response.body.size();
    if (response.status != 204) {
        message.set(http::field::content_type, response.content_type);
        message.content_length(bytes);
    }
    if (!head) {
        message.body() = std::move(response.body);
    }
    return message;
}

std::optional<HttpResponse> answer_to_bad_request(const beast::error_code &error,
                                                  const HttpLimits &limits) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
        return problem(431, "request line and headers are longer than " +
                                std::to_string(limits.header_bytes) + " bytes");
    }
    if (error == http::error::body_limit) {
        return problem(413,
                       "the body is longer than " + std::to_string(limits.body_bytes) + " bytes");
    }
    // Beast closes the socket of who lets its time pass: nothing can be said any more.
    if (error == beast::error::timeout || error == http::error::end_of_stream ||
        error == http::error::partial_message ||
        error.category() == asio::error::get_misc_category() ||
        error.category() == boost::system::system_category() ||
        error.category() == asio::error::get_ssl_category()) {
        return std::nullopt;
    }
    return problem(400, "this is not HTTP/1.1: " + error.message());
}

std::optional<HttpResponse> refused_for_its_origin(const HttpRequest &request) {
    const bool reads = request.method == "GET" || request.method == "HEAD";
    if (!reads && request.header("sec-fetch-site") == "cross-site") {
        return problem(403, "a page of another site asked for this");
    }
    return std::nullopt;
}

} // namespace tidemark::daemon
