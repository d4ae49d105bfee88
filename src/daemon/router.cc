// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/router.h"

#include "daemon/problem.h"

#include <algorithm>
#include <exception>
#include <spdlog/spdlog.h>

namespace tidemark::daemon {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) {
            return parts;
        }
        text.remove_prefix(end + 1);
    }
}

bool is_parameter(const std::string &segment) {
    return segment.size() > 2 && segment[0] == '{';
}

// "" and "/": one empty segment behind the first slash.
std::vector<std::string> segments_of(std::string_view path) {
    return split(path.substr(1), '/');
}

bool same_path(const std::vector<std::string> &route, const std::vector<std::string> &path) {
    return std::equal(route.begin(), route.end(), path.begin(), path.end(),
                      [](const std::string &ours, const std::string &theirs) {
                          return is_parameter(ours) ? !theirs.empty() : ours == theirs;
                      });
}

int hex(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    const char lower = static_cast<char>(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool decode_query(std::string_view text, std::map<std::string, std::string> &out) {
    for (const std::string &pair : split(text, '&')) {
        if (pair.empty()) {
            continue;
        }
        const std::size_t equals = pair.find('=');
        std::string name;
        std::string value;
        if (!percent_decode(std::string_view(pair).substr(0, equals), true, name) ||
            (equals != std::string::npos &&
             !percent_decode(std::string_view(pair).substr(equals + 1), true, value))) {
            return false;
        }
        out[name] = value;
    }
    return true;
}

} // namespace

bool percent_decode(std::string_view text, bool plus_is_space, std::string &out) {
    out.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        char letter = text[i];
        if (letter == '%') {
            if (i + 2 >= text.size() || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0) {
                return false;
            }
            letter = static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        } else if (letter == '+' && plus_is_space) {
            letter = ' ';
        }
        if (letter == '\0') {
            return false;
        }
        out.push_back(letter);
    }
    return true;
}

void Router::add(std::string method, std::string_view path, Handler handler) {
    entries_.push_back(
        {{std::move(method), std::string(path)}, segments_of(path), std::move(handler)});
}

void Router::add_plain(std::string method, std::string_view path, PlainHandler handler) {
    add(std::move(method), path,
        [handler = std::move(handler)](const HttpRequest &request, const HttpReply &reply) {
            reply(handler(request));
        });
}

void Router::handle(HttpRequest request, const HttpReply &reply) const {
    const std::size_t question = request.path.find('?');
    const std::string path = request.path.substr(0, question);
    if (path.empty() || path[0] != '/') {
        reply(problem(400, "the request's target is not a path that begins with '/'"));
        return;
    }
    if (question != std::string::npos &&
        !decode_query(std::string_view(request.path).substr(question + 1), request.query)) {
        reply(problem(400, "the query is not well encoded: '%' is followed by two hex digits"));
        return;
    }
    request.path = path;

    const std::vector<std::string> segments = segments_of(path);
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    std::string allowed;
    for (const Entry &entry : entries_) {
        if (!same_path(entry.segments, segments)) {
            continue;
        }
        if (entry.route.method != method) {
            allowed += (allowed.empty() ? "" : ", ") + entry.route.method;
            allowed += entry.route.method == "GET" ? ", HEAD" : "";
            continue;
        }
        for (std::size_t i = 0; i < segments.size(); ++i) {
            if (!is_parameter(entry.segments[i])) {
                continue;
            }
            if (!percent_decode(segments[i], false, request.parameters.emplace_back())) {
                reply(problem(400, "the path is not well encoded: '%' is followed by two hex "
                                   "digits, and there is no zero byte"));
                return;
            }
        }
        // A mistake in one handler must not end the daemon for everybody.
        try {
            entry.handler(request, reply);
        } catch (const std::exception &error) {
            spdlog::error("{} {}: {}", request.method, entry.route.path, error.what());
            reply(problem(500, "the daemon failed at this request; its log says how"));
        }
        return;
    }
    if (allowed.empty()) {
        reply(problem(404, "there is nothing at " + path +
                               "; /api/v1/openapi.json lists what there is"));
        return;
    }
    HttpResponse response = problem(405, path + " answers " + allowed + ", not " + request.method);
    response.headers.emplace_back("Allow", allowed);
    reply(std::move(response));
}

std::vector<Router::Route> Router::routes() const {
    std::vector<Route> all;
    for (const Entry &entry : entries_) {
        all.push_back(entry.route);
    }
    return all;
}

} // namespace tidemark::daemon
