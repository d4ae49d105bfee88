// SPDX-License-Identifier: GPL-2.0-or-later
//
// A bash completion made from the commands themselves, so that it knows all of them.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace tidemark::cli {

std::string bash_completion(const CLI::App &app);

} // namespace tidemark::cli
