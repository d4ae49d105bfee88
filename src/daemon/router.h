// SPDX-License-Identifier: GPL-2.0-or-later
//
// From method and path to the handler that answers.
#pragma once

#include "daemon/http_message.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::daemon {

using Handler = std::function<void(const HttpRequest &, HttpReply)>;
// Answers at once.
using PlainHandler = std::function<HttpResponse(const HttpRequest &)>;

class Router {
  public:
    // "/api/v1/guests/{uuid}/heat": a part in braces is any one segment that is not empty.
    void add(std::string method, std::string_view path, Handler handler);
    void add_plain(std::string method, std::string_view path, PlainHandler handler);

    // Answers: the handler does, or 404 for an unknown path, 405 with Allow for an unknown method, 400 for a
    // path or query that is not well encoded. HEAD is GET; the server leaves the body out.
    void handle(HttpRequest request, const HttpReply &reply) const;

    struct Route {
        std::string method, path;
    };
    std::vector<Route> routes() const;

  private:
    struct Entry {
        Route route;
        std::vector<std::string> segments;
        Handler handler;
    };
    std::vector<Entry> entries_;
};

// "%41" is "A"; false for what is not well encoded or has a zero byte.
bool percent_decode(std::string_view text, bool plus_is_space, std::string &out);

} // namespace tidemark::daemon
