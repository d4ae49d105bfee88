// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel: is it new enough, and does it let the caller do what the engine does.
#include "cli/doctor.h"
#include "sys/uapi_userfaultfd.h"
#include "sys/unique_fd.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace tidemark::cli {
namespace {

void check_release(Findings &findings) {
    utsname name{};
    uname(&name);
    unsigned major = 0;
    unsigned minor = 0;
    std::sscanf(name.release, "%u.%u", &major, &minor);
    const std::string release = std::string("Linux ") + name.release;
    const auto older = [&](unsigned than_major, unsigned than_minor) {
        return major < than_major || (major == than_major && minor < than_minor);
    };
    if (older(6, 8)) {
        findings.push_back({Grade::fail, "kernel", release + " has no UFFDIO_MOVE",
                            "boot Linux 6.8 or later; Debian 12 has it in bookworm-backports "
                            "(linux-image-amd64)"});
    } else if (older(6, 14)) {
        findings.push_back({Grade::warn, "kernel",
                            release + " is new enough, but keeps empty page tables, which makes "
                                      "moves of 2 MiB slower",
                            "boot Linux 6.14 or later when that matters"});
    } else {
        findings.push_back({Grade::ok, "kernel", release, ""});
    }
}

// The features are the kernel's, whoever asks.
void check_features(Findings &findings) {
    const UniqueFd device(open(kUserfaultfd, O_RDWR | O_CLOEXEC));
    const int why = errno;
    UniqueFd fd(device.valid() ? ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC)
                               : static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC)));
    if (!fd.valid()) {
        const bool absent = why == ENOENT && errno == ENOSYS;
        findings.push_back(
            {absent ? Grade::fail : Grade::warn, "userfaultfd",
             std::string(kUserfaultfd) + " could not be opened: " + std::strerror(why),
             absent ? "boot a kernel built with CONFIG_USERFAULTFD=y"
                    : "run doctor as root to see what the kernel offers"});
        return;
    }
    uffdio_api api{};
    api.api = UFFD_API;
    std::string missing;
    if (ioctl(fd.get(), UFFDIO_API, &api) != 0 || (api.features & UFFD_FEATURE_MOVE) == 0)
        missing = "UFFDIO_MOVE (Linux 6.8)";
    else if ((api.features & UFFD_FEATURE_POISON) == 0)
        missing = "UFFDIO_POISON (Linux 6.6)";
    if (missing.empty())
        findings.push_back({Grade::ok, "userfaultfd", "the kernel can move and poison pages", ""});
    else
        findings.push_back({Grade::fail, "userfaultfd", "the kernel has no " + missing,
                            "boot Linux 6.8 or later"});
}

void check_io_uring(Findings &findings) {
    io_uring_params params{};
    const UniqueFd ring(static_cast<int>(syscall(SYS_io_uring_setup, 4, &params)));
    const int error = errno;
    const std::string allowed = small_file("/proc/sys/kernel/io_uring_disabled");
    if (!ring.valid() || allowed.starts_with("2")) {
        findings.push_back({Grade::fail, "io_uring",
                            std::string("io_uring is not to be had: ") + std::strerror(error),
                            error == ENOSYS ? "boot a kernel built with CONFIG_IO_URING=y"
                                            : "set the sysctl kernel.io_uring_disabled to 0"});
    } else if (allowed.starts_with("1")) {
        findings.push_back({Grade::warn, "io_uring",
                            "only members of the group in kernel.io_uring_group, and root, may use "
                            "io_uring",
                            "set the sysctl kernel.io_uring_disabled to 0, or make that group the "
                            "one that libvirt runs QEMU in"});
    } else {
        findings.push_back({Grade::ok, "io_uring", "may be used", ""});
    }
}

void check_kvm(const Host &host, Findings &findings) {
    const std::string device = host.path("/dev/kvm");
    if (access(device.c_str(), F_OK) != 0)
        findings.push_back({Grade::warn, "kvm", "/dev/kvm is not there: guests will be emulated",
                            "load kvm_intel or kvm_amd, and allow virtualization in the firmware"});
    else if (!may(host.qemu_user(), device, R_OK | W_OK))
        findings.push_back(
            {Grade::warn, "kvm", "the user " + host.qemu_user() + " may not open /dev/kvm",
             "chgrp kvm /dev/kvm; chmod 0660 /dev/kvm (udev does so where it runs)"});
    else
        findings.push_back({Grade::ok, "kvm", "/dev/kvm may be opened by " + host.qemu_user(), ""});
}

} // namespace

void check_kernel(const Host &host, Findings &findings) {
    check_release(findings);
    check_features(findings);
    check_io_uring(findings);
    check_kvm(host, findings);
}

} // namespace tidemark::cli
