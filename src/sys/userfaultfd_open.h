// SPDX-License-Identifier: GPL-2.0-or-later
//
// Getting a userfaultfd with the features the engine needs, or a sentence saying what to change.
#pragma once

#include "base/result.h"
#include "sys/unique_fd.h"

namespace tidemark {

// Blocking, close-on-exec, handshake done.
Result<UniqueFd> open_userfaultfd();

} // namespace tidemark
