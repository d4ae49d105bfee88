// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/options.h"

#include <clocale>
#include <csignal>

int main(int argc, char **argv) {
    // `tidemark ... | head` ends quietly when head has seen enough, through a failed write.
    std::setlocale(LC_CTYPE, "");
    return tidemark::cli::run(argc, argv);
}
