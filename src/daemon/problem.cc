// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/problem.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {

const char *status_title(unsigned status) {
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 428:
        return "Precondition Required";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 507:
        return "Insufficient Storage";
    default:
        return "Error";
    }
}

HttpResponse problem(unsigned status, const std::string &detail) {
    // about:blank: the status says which kind of problem it is, the detail what to do about it.
    const nlohmann::ordered_json body = {{"type", "about:blank"},
                                         {"title", status_title(status)},
                                         {"status", status},
                                         {"detail", detail}};
    HttpResponse response;
    response.status = status;
    response.content_type = "application/problem+json";
    // What is quoted from a request need not be UTF-8.
    response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    return response;
}

unsigned status_of(const Error &error) {
    switch (error.code) {
    case EINVAL:
        return 422;
    case ENOENT:
        return 404;
    case EEXIST:
    case EBUSY:
        return 409;
    case EACCES:
    case EPERM:
        return 403;
    case EMSGSIZE:
        return 413;
    case EPROTO:
        return 502;
    case ENOTCONN:
        return 503;
    case ETIMEDOUT:
        return 504;
    case ENOSPC:
        return 507;
    default:
        return 500;
    }
}

HttpResponse problem(const Error &error) {
    return problem(status_of(error), error.sentence);
}

} // namespace tidemark::daemon
