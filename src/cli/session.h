// SPDX-License-Identifier: GPL-2.0-or-later
//
// What every command of `tidemark` is given: the global options, and the codes it ends with.
#pragma once

#include <chrono>
#include <string>

namespace tidemark::cli {

// Documented in tidemark.1; scripts rely on them.
enum class Exit {
    ok = 0,
    failed = 1,      // the request was refused, the file is wrong, doctor found what must be mended
    usage = 2,       // the command line is wrong
    unreachable = 3, // the daemon does not answer
};

struct Session {
    bool json = false;
    std::string socket; // of the daemon; empty: where the configuration says
    std::string config;
    std::chrono::milliseconds deadline{10000};
};

} // namespace tidemark::cli
