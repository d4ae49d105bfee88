// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/http_message.h"

#include "daemon/problem.h"

namespace tidemark::daemon {

std::string_view HttpRequest::header(const std::string &name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

struct HttpReply::Once {
    std::function<void(HttpResponse)> send;

    explicit Once(std::function<void(HttpResponse)> to) : send(std::move(to)) {}
    Once(const Once &) = delete;
    Once &operator=(const Once &) = delete;
    ~Once() { answer(problem(500, "the daemon has no answer to this request")); }

    void answer(HttpResponse response) {
        if (const auto to = std::exchange(send, nullptr)) {
            to(std::move(response));
        }
    }
};

HttpReply::HttpReply(std::function<void(HttpResponse)> send)
    : once_(std::make_shared<Once>(std::move(send))) {}

void HttpReply::operator()(HttpResponse response) const {
    once_->answer(std::move(response));
}

} // namespace tidemark::daemon
