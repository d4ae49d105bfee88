// SPDX-License-Identifier: GPL-2.0-or-later
//
// Errors as RFC 9457 has them: application/problem+json with type, title, status and detail, which is
// a sentence for people.
#pragma once

#include "base/result.h"
#include "daemon/http_message.h"

#include <string>

namespace tidemark::daemon {

HttpResponse problem(unsigned status, const std::string &detail);
// The status that fits: EINVAL 422, ENOENT 404, EEXIST 409, EBUSY 409, ENOTCONN 503, ETIMEDOUT 504, EMSGSIZE
// 413, ENOSPC 507, EACCES 403, EPERM 403, EPROTO 502, else 500.
HttpResponse problem(const Error &error);
unsigned status_of(const Error &error);
const char *status_title(unsigned status);

} // namespace tidemark::daemon
