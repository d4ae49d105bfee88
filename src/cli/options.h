// SPDX-License-Identifier: GPL-2.0-or-later
//
// The command line: what may be typed, and which command it starts.
#pragma once

namespace tidemark::cli {

// Parses and runs; returns what the program ends with.
int run(int argc, char **argv);

} // namespace tidemark::cli
