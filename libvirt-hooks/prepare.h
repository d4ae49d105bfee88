// SPDX-License-Identifier: GPL-2.0-or-later
//
// Before a domain starts: its element is checked, the daemon asked, and what QEMU is to read written.
#pragma once

#include "domain/domain.h"
#include "domain/host_config.h"

#include <string>
#include <vector>

namespace tidemark::hook {

// Why the domain must not start, a sentence each; empty: it may.
std::vector<std::string> prepare(const domain::Parsed &parsed, const domain::HostConfig &config);

// The same without asking or writing, for a domain that comes from elsewhere and is prepared next.
std::vector<std::string> check(const domain::Parsed &parsed, const domain::HostConfig &config);

// To stderr and the system's log.
void warn(const std::string &sentence);

} // namespace tidemark::hook
