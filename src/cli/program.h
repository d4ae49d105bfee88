// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs a program and keeps what it prints; for doctor, which asks others for their version.
#pragma once

#include "base/result.h"

#include <chrono>
#include <string>
#include <vector>

namespace tidemark::cli {

struct Ran {
    int status = 0;     // as it ended, 128 + signal if by one
    std::string output; // stdout and stderr, at most 256 KiB
};

// ETIMEDOUT: it took longer and was ended. No shell.
Result<Ran> run_program(const std::vector<std::string> &words, std::chrono::milliseconds deadline);

} // namespace tidemark::cli
