// SPDX-License-Identifier: GPL-2.0-or-later
//
// JSON in requests and answers: bounds and sentences for what comes in, ETags and pages for what goes
// out.
#pragma once

#include "base/result.h"
#include "daemon/http_message.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::daemon {

inline constexpr std::size_t kJsonDepthMost = 32;

// One JSON value of at most kJsonDepthMost levels. Failures: EBADMSG with a sentence.
Result<nlohmann::json> parse_json(std::string_view text);
// The body as a JSON object. The error is the answer to send: 415 if it says it is something else, 400
// if it is not JSON, 422 if it is no object.
tl::expected<nlohmann::json, HttpResponse> object_of(const HttpRequest &request);
// The same, but no body is {}.
tl::expected<nlohmann::json, HttpResponse> object_or_nothing(const HttpRequest &request);
// A sentence if the object has a member that is not named.
std::optional<std::string> unknown_member(const nlohmann::json &object,
                                          const std::vector<std::string_view> &known);

HttpResponse json_response(const nlohmann::json &json, unsigned status = 200);
// The text may hold what is not UTF-8: it is replaced.
std::string json_text(const nlohmann::json &json);

std::string etag_of(std::uint64_t revision); // with its quotes
std::string etag_of_text(std::string_view content);
// What If-Match stands in the way of: 428 if it is required and not there, 412 if it names another one.
std::optional<HttpResponse> precondition(const HttpRequest &request, const std::string &etag,
                                         bool required);

// ?limit=&after=
struct Page {
    static constexpr std::size_t kDefault = 100;
    static constexpr std::size_t kMost = 1000;
    std::size_t limit = kDefault;
    std::string after;
};
tl::expected<Page, HttpResponse> page_of(const HttpRequest &request);
// {"items": [...], "next": ...}: next is null on the last page.
nlohmann::json page_json(std::vector<nlohmann::json> items, const std::optional<std::string> &next);

} // namespace tidemark::daemon
