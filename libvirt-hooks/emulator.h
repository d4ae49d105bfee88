// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whether a QEMU binary is Tidemark's. Another one would start the guest with plain memory, and nobody
// would notice before the host is full.
#pragma once

#include <string>

namespace tidemark::hook {

enum class EmulatorKind {
    tidemark, // linked to libtidemark.so
    other,    // a dynamic ELF binary that is not
    unknown,  // a script, a static binary, not readable: QEMU itself will tell
};

EmulatorKind emulator_kind(const std::string &path);

} // namespace tidemark::hook
