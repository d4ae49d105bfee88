// SPDX-License-Identifier: GPL-2.0-or-later
//
// A request and its answer as handlers see them, whatever carries them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace tidemark::daemon {

struct HttpRequest {
    std::string method;                         // "GET"
    std::string path;                           // as it came, without the query
    std::map<std::string, std::string> query;   // decoded
    std::vector<std::string> parameters;        // of the path, decoded, in their order
    std::map<std::string, std::string> headers; // names in lower case; the last one of a name
    std::string body;

    // Empty if it is not there.
    std::string_view header(const std::string &name) const;
};

struct HttpResponse {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers; // e.g. ETag
};

// Where an answer goes: once. It may be kept and answered later, in the daemon's thread; the client hears
// 500 if every copy goes without an answer, and 504 after the server's deadline.
class HttpReply {
  public:
    explicit HttpReply(std::function<void(HttpResponse)> send);
    void operator()(HttpResponse response) const;

  private:
    struct Once;
    std::shared_ptr<Once> once_;
};

} // namespace tidemark::daemon
