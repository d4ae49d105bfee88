// SPDX-License-Identifier: GPL-2.0-or-later
//
// What `tidemark doctor` looks at. A check says what it found and how to mend it; some know how to do
// that themselves, and do so only when asked (--fix).
#pragma once

#include "base/result.h"
#include "cli/session.h"
#include "domain/host_config.h"

#include <functional>
#include <string>
#include <vector>

namespace tidemark::cli {

enum class Grade { ok, warn, fail };

struct Finding {
    Grade grade = Grade::ok;
    std::string subject;  // "kernel"
    std::string sentence; // what is so
    std::string mend;     // how to mend it; empty if nothing is to be
    // Mends it; a sentence saying what was done. Empty if a person must.
    std::function<Result<std::string>()> fix = {};
};

// The host that is looked at. Tests have a folder stand for its file system.
struct Host {
    std::string root;
    std::string emulator;
    domain::HostConfig config;

    std::string path(const std::string &absolute) const { return root + absolute; }
    std::string qemu_conf() const; // its text, or empty
    std::string qemu_user() const; // whom libvirt runs QEMU as
    bool is_simulated() const { return !root.empty(); }
};

inline constexpr const char *kEmulator = "/usr/libexec/tidemark/qemu-system-x86_64";
inline constexpr const char *kHook = "/etc/libvirt/hooks/qemu.d/tidemark";
inline constexpr const char *kHookProgram = "/usr/libexec/tidemark/tidemark-hook";
inline constexpr const char *kUserfaultfd = "/dev/userfaultfd";

// Each adds what it finds.
using Findings = std::vector<Finding>;
void check_kernel(const Host &host, Findings &findings);      // release, userfaultfd, io_uring, KVM
void check_permissions(const Host &host, Findings &findings); // what a guest's QEMU may open
void check_libvirt(const Host &host, Findings &findings);     // hook, qemu.conf
void check_apparmor(const Host &host, Findings &findings);
void check_emulator(const Host &host, Findings &findings);
void check_folders(const Host &host, Findings &findings);
void check_tiers(const Host &host, Findings &findings);
void check_daemon(const Session &session, Findings &findings);

// Reads a file of at most 1 MiB; empty if there is none.
std::string small_file(const std::string &path);
// Replaces or makes a file as a whole; keeps mode and owner of one that is there, and what it was as
// PATH.before-tidemark.
Result<void> replace_file(const std::string &path, const std::string &text);
// Makes a folder with its parents. An owner that this host does not know is left out.
Result<void> make_folder(const std::string &path, unsigned mode, const std::string &user,
                         const std::string &group);
// Whether `user` may do that (R_OK, W_OK, X_OK) by owner, group and mode alone.
bool may(const std::string &user, const std::string &path, int how);

} // namespace tidemark::cli
