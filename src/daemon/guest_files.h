// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files that go between the daemon and a QEMU that runs as somebody else, and the library they are kept
// in. A QEMU gets one directory of its own, run_dir/exchange/<uuid>, that belongs to its user; the
// library below state_dir belongs to the daemon alone. What a QEMU wrote is copied into the library if
// it is a plain file of bounded size, and nothing a QEMU puts in its directory (links, fifos, other
// people's files) makes the daemon read or write anything else.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <string>
#include <sys/types.h>

namespace tidemark::daemon {

inline constexpr std::size_t kExchangedMost = 64U << 20; // bytes of one file

// One guest's directory.
struct Exchange {
    std::string dir; // .../exchange/<uuid>
    uid_t uid = 0;   // QEMU's
    gid_t gid = 0;

    std::string file(const std::string &name) const { return dir + "/" + name; }
    // Makes it, 0700 and QEMU's; its parent is 0711.
    Result<void> prepare() const;
    // Copies the library's file into it, 0400 and QEMU's.
    Result<void> put(const std::string &from, const std::string &name) const;
    // Takes a file that QEMU wrote into the library, as a whole or not at all, and removes it here.
    Result<void> take(const std::string &name, const std::string &to) const;
    void remove_all() const;
};

// Whether a backend's id can be part of a file name: what QEMU allows, and no leading dot.
bool is_file_name(const std::string &text);

// Makes `dir` and its parents, 0700.
Result<void> make_directories(const std::string &dir);

// A small text of the daemon's own, replaced as a whole; "" if there is none.
Result<void> write_note(const std::string &path, const std::string &text);
std::string read_note(const std::string &path);

} // namespace tidemark::daemon
