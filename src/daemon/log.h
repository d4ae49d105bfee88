// SPDX-License-Identifier: GPL-2.0-or-later
//
// The daemon's log goes to standard error, where systemd's journal takes it.
#pragma once

#include "domain/host_config.h"

namespace tidemark::daemon {

// Under systemd each line begins with its priority, and has no time of its own: the journal has both.
void set_up_log(domain::LogLevel level);

} // namespace tidemark::daemon
