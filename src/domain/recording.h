// SPDX-License-Identifier: GPL-2.0-or-later
//
// The bound of a recorded working set, for REST, the daemon and the command alike.
#pragma once

#include <cstdint>

namespace tidemark::domain {

inline constexpr std::uint32_t kRecordMost = 86400; // seconds

} // namespace tidemark::domain
