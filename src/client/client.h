// SPDX-License-Identifier: GPL-2.0-or-later
//
// One request to the daemon, over its Unix socket: connect, ask, read the answer, all within one
// deadline. No thread, no connection kept, no retry: the callers are a hook and a command.
#pragma once

#include "base/result.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::client {

struct Header {
    std::string name;
    std::string value;
};

struct Reply {
    unsigned status = 0; // any HTTP status; 4xx and 5xx are replies, not errors
    std::vector<Header> headers;
    std::string body;

    bool ok() const { return status >= 200 && status < 300; }
    // The first header of that name, whatever its case; empty if there is none.
    std::string_view header(std::string_view name) const;
};

// A reply whose headers or body are larger is refused with EMSGSIZE.
inline constexpr std::size_t kHeaderMost = 16U << 10;
inline constexpr std::size_t kBodyMost = 16U << 20;

// `target` is path and query as they go on the wire; see escape(). A body is sent as application/json
// unless `headers` says otherwise. Errors: ENOENT or ECONNREFUSED (no daemon), EACCES, ETIMEDOUT,
// EMSGSIZE, EPROTO (what answered does not speak HTTP, or broke off), EINVAL; each with a sentence
// that names the socket.
Result<Reply> request(const std::string &socket_path, std::string_view method,
                      std::string_view target, std::string_view body,
                      std::chrono::milliseconds deadline, const std::vector<Header> &headers = {});

// Percent-encodes what may not stand in one segment of a path or one value of a query.
std::string escape(std::string_view text);

// What a reply that is not ok() says, in one sentence: `detail`, else `title`, of a problem+json, else
// the status.
std::string problem_sentence(const Reply &reply);

} // namespace tidemark::client
