// SPDX-License-Identifier: GPL-2.0-or-later
//
// How long a guest's QEMU has been running, which a restart of the daemon does not change.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/types.h>
#include <unistd.h>

namespace tidemark::daemon {

// Of no process: as old as can be.
inline std::chrono::seconds process_age(pid_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(in, line);
    const std::size_t name_ends = line.rfind(')');
    if (pid <= 0 || name_ends == std::string::npos) {
        return std::chrono::seconds::max();
    }
    std::istringstream fields(line.substr(name_ends + 1)); // from the third one, the state, on
    std::string skipped;
    for (int field = 3; field < 22; ++field) {
        fields >> skipped;
    }
    std::int64_t ticks = 0;
    timespec now{};
    if (!(fields >> ticks) || clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
        return std::chrono::seconds::max();
    }
    return std::chrono::seconds(now.tv_sec - ticks / sysconf(_SC_CLK_TCK));
}

} // namespace tidemark::daemon
