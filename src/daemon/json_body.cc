// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/json_body.h"

#include "base/utf8.h"
#include "daemon/problem.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

// Beyond that, copying and writing would recurse as deep as a client likes.
bool too_deep(std::string_view text) {
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char letter = text[i];
        if (in_string) {
            i += letter == '\\' ? 1U : 0U;
            in_string = letter != '"';
        } else if (letter == '"') {
            in_string = true;
        } else if (letter == '[' || letter == '{') {
            if (++depth > kJsonDepthMost) {
                return true;
            }
        } else if ((letter == ']' || letter == '}') && depth > 0) {
            --depth;
        }
    }
    return false;
}

bool says_json(std::string_view content_type) {
    std::string type(content_type.substr(0, content_type.find(';')));
    std::transform(type.begin(), type.end(), type.begin(),
                   [](char letter) { return static_cast<char>(letter | 0x20); });
    while (!type.empty() && type.back() == ' ') {
        type.pop_back();
    }
    return type == "application/json" || type == "application/merge-patch+json";
}

bool is_etag_in(std::string_view list, const std::string &etag) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view one = list.substr(0, comma);
        while (!one.empty() && one.front() == ' ') {
            one.remove_prefix(1);
        }
        while (!one.empty() && one.back() == ' ') {
            one.remove_suffix(1);
        }
        if (one == etag || one == "*") {
            return true;
        }
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    }
    return false;
}

} // namespace

Result<nlohmann::json> parse_json(std::string_view text) {
    if (too_deep(text)) {
        return fail(EBADMSG,
                    "the JSON is nested more than " + std::to_string(kJsonDepthMost) + " deep");
    }
    try {
        return nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception &error) {
        // "[json.exception.parse_error.101] parse error at ...": the bracket says nothing to people.
        const std::string what = error.what();
        const std::size_t end = what.find("] ");
        return fail(EBADMSG, "this is not JSON: " +
                                 (end == std::string::npos ? what : what.substr(end + 2)));
    }
}

tl::expected<nlohmann::json, HttpResponse> object_of(const HttpRequest &request) {
    const std::string_view type = request.header("content-type");
    if (!type.empty() && !says_json(type)) {
        return tl::unexpected(problem(415, "the body must be application/json, and is said to be " +
                                               std::string(type) +
                                               " (with curl, use --json instead of -d)"));
    }
    auto json = parse_json(request.body);
    if (!json) {
        return tl::unexpected(problem(400, json.error().sentence));
    }
    if (!json->is_object()) {
        return tl::unexpected(problem(422, "the body must be a JSON object, and is " +
                                               std::string(json->type_name())));
    }
    return std::move(*json);
}

tl::expected<nlohmann::json, HttpResponse> object_or_nothing(const HttpRequest &request) {
    if (request.body.empty() && request.header("content-type").empty()) {
        return nlohmann::json::object();
    }
    return object_of(request);
}

std::optional<std::string> unknown_member(const nlohmann::json &object,
                                          const std::vector<std::string_view> &known) {
    for (const auto &member : object.items()) {
        if (std::find(known.begin(), known.end(), member.key()) != known.end()) {
            continue;
        }
        std::string names;
        for (const std::string_view name : known) {
            names += (names.empty() ? "" : ", ") + std::string(name);
        }
        return "'" + cut(member.key(), 64) + "' is not known here; known are: " + names;
    }
    return std::nullopt;
}

std::string json_text(const nlohmann::json &json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

HttpResponse json_response(const nlohmann::json &json, unsigned status) {
    HttpResponse response;
    response.status = status;
    response.body = json_text(json);
    return response;
}

std::string etag_of(std::uint64_t revision) {
    return "\"" + std::to_string(revision) + "\"";
}

std::string etag_of_text(std::string_view content) {
    // FNV-1a: tells versions apart, and is the same after a restart.
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char letter : content) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
    }
    char text[24];
    std::snprintf(text, sizeof text, "\"%016llx\"", static_cast<unsigned long long>(hash));
    return text;
}

std::optional<HttpResponse> precondition(const HttpRequest &request, const std::string &etag,
                                         bool required) {
    const std::string_view match = request.header("if-match");
    if (match.empty()) {
        if (required) {
            return problem(428, "If-Match is missing: get the resource, and send its ETag back "
                                "with the change");
        }
        return std::nullopt;
    }
    if (!is_etag_in(match, etag)) {
        HttpResponse response =
            problem(412, "it was changed meanwhile; its ETag is " + etag + " now");
        response.headers.emplace_back("ETag", etag);
        return response;
    }
    return std::nullopt;
}

tl::expected<Page, HttpResponse> page_of(const HttpRequest &request) {
    Page page;
    for (const auto &[name, value] : request.query) {
        if (name == "after") {
            page.after = value;
        } else if (name == "limit") {
            const bool digits = !value.empty() && value.size() <= 4 &&
                                value.find_first_not_of("0123456789") == std::string::npos;
            page.limit = digits ? std::stoul(value) : 0;
            if (page.limit < 1 || page.limit > Page::kMost) {
                return tl::unexpected(problem(400, "limit is '" + cut(value, 32) +
                                                       "'; it must be 1 to " +
                                                       std::to_string(Page::kMost)));
            }
        }
    }
    return page;
}

nlohmann::json page_json(std::vector<nlohmann::json> items,
                         const std::optional<std::string> &next) {
    nlohmann::json page = {{"items", std::move(items)}, {"next", nullptr}};
    if (next) {
        page["next"] = *next;
    }
    return page;
}

} // namespace tidemark::daemon
