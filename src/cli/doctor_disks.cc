// SPDX-License-Identifier: GPL-2.0-or-later
//
// Folders and tiers: are they there, may the guests' QEMU write there, past the page cache, and is
// there room.
#include "cli/doctor.h"
#include "cli/text.h"
#include "sys/unique_fd.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace tidemark::cli {
namespace {

std::string subject_of(const domain::HostTier &tier) {
    return "tier " + tier.name;
}

// 0 or why not: one block, past the page cache, as the engine does it.
int try_direct_io(const std::string &path, bool is_device) {
    constexpr std::size_t kBlock = 4096;
    const int how = is_device ? O_RDONLY : O_RDWR | O_TMPFILE;
    const UniqueFd fd(open(path.c_str(), how | O_DIRECT | O_CLOEXEC, 0600));
    if (!fd.valid())
        return errno;
    const std::unique_ptr<void, decltype(&std::free)> block(std::aligned_alloc(kBlock, kBlock),
                                                            &std::free);
    if (!block)
        return ENOMEM;
    std::memset(block.get(), 0x5a, kBlock);
    const ssize_t done = is_device ? pread(fd.get(), block.get(), kBlock, 0)
                                   : pwrite(fd.get(), block.get(), kBlock, 0);
    return done == static_cast<ssize_t>(kBlock) ? 0 : errno;
}

void check_direct_io(const domain::HostTier &tier, const std::string &path, bool is_device,
                     Findings &findings) {
    const int error = try_direct_io(path, is_device);
    if (error == 0)
        findings.push_back({Grade::ok, subject_of(tier), tier.path + " takes O_DIRECT", ""});
    else if (error == EINVAL || error == EOPNOTSUPP)
        findings.push_back({Grade::warn, subject_of(tier),
                            tier.path + " does not take O_DIRECT: its pages would fill the page "
                                        "cache, and memory with it",
                            "put the tier on ext4 or xfs, or name a block device"});
    else
        findings.push_back({Grade::fail, subject_of(tier),
                            tier.path + " can't be written: " + std::strerror(error),
                            "mend what the sentence says, or name another path"});
}

void check_space(const domain::HostTier &tier, const std::string &path, Findings &findings) {
    struct statvfs fs {};
    if (statvfs(path.c_str(), &fs) != 0)
        return;
    const double free = static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_frsize);
    const double wanted = static_cast<double>(tier.capacity.value_or(0));
    if (tier.capacity && free < wanted) {
        findings.push_back({Grade::warn, subject_of(tier),
                            bytes_text(free) + " are free for " + bytes_text(wanted) +
                                " (what guests already took of it counts in neither)",
                            "make room, or lower its capacity in tidemark.toml"});
    } else {
        constexpr double kLittle = 1073741824;
        findings.push_back({free < kLittle ? Grade::warn : Grade::ok, subject_of(tier),
                            bytes_text(free) + " are free",
                            free < kLittle ? "make room, or name another path" : ""});
    }
}

void check_tier(const Host &host, const domain::HostTier &tier, Findings &findings) {
    const std::string path = host.path(tier.path);
    const std::string user = host.qemu_user();
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) {
        findings.push_back({Grade::fail, subject_of(tier), tier.path + " is not there",
                            "make it and give it to the user " + user,
                            [path, user, shown = tier.path]() -> Result<std::string> {
                                const auto made = make_folder(path, 0770, user, "kvm");
                                if (!made)
                                    return tl::unexpected<Error>(made.error());
                                return shown + " is made, 0770 for " + user + ":kvm";
                            }});
        return;
    }
    const bool is_device = S_ISBLK(info.st_mode);
    const int needed = is_device ? R_OK | W_OK : R_OK | W_OK | X_OK;
    if (!may(user, path, needed))
        findings.push_back(
            {Grade::fail, subject_of(tier),
             "the user " + user + ", whom libvirt runs QEMU as, may not write to " + tier.path,
             "chown " + user + ":kvm " + tier.path + " && chmod 0770 " + tier.path});
    check_direct_io(tier, path, is_device, findings);
    if (!is_device)
        check_space(tier, path, findings);
}

void check_folder(const Host &host, const std::string &folder, unsigned mode, const char *subject,
                  Findings &findings) {
    const std::string path = host.path(folder);
    if (access(path.c_str(), F_OK) == 0) {
        findings.push_back({Grade::ok, subject, folder + " is there", ""});
        return;
    }
    findings.push_back({Grade::warn, subject, folder + " is not there",
                        "systemd-tmpfiles --create makes it (tidemark.conf); the daemon does, too",
                        [path, folder, mode]() -> Result<std::string> {
                            const auto made = make_folder(path, mode, "root", "root");
                            if (!made)
                                return tl::unexpected<Error>(made.error());
                            return folder + " is made";
                        }});
}

} // namespace

void check_folders(const Host &host, Findings &findings) {
    check_folder(host, host.config.run_dir, 0755, "run directory", findings);
    check_folder(host, host.config.state_dir, 0755, "state directory", findings);
}

void check_tiers(const Host &host, Findings &findings) {
    if (host.config.tiers.empty()) {
        findings.push_back({Grade::warn, "tiers",
                            "the host offers none: each domain must name its own",
                            "add a [[tier]] to /etc/tidemark/tidemark.toml"});
    }
    for (const domain::HostTier &tier : host.config.tiers)
        check_tier(host, tier, findings);
}

} // namespace tidemark::cli
