// SPDX-License-Identifier: GPL-2.0-or-later
//
// libvirt: does a guest that it starts find the hook, the emulator and its devices.
#include "base/utf8.h"
#include "cli/doctor.h"
#include "cli/program.h"
#include "cli/qemu_conf.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tidemark::cli {
namespace {

constexpr const char *kQemuConf = "/etc/libvirt/qemu.conf";
constexpr const char *kUdevRule = "/etc/udev/rules.d/60-tidemark.rules";
constexpr const char *kUdevText =
    "# SPDX-License-Identifier: GPL-2.0-or-later\n"
    "# Written by tidemark doctor --fix.\n"
    "KERNEL==\"userfaultfd\", SUBSYSTEM==\"misc\", GROUP=\"kvm\", MODE=\"0660\"\n";

struct Version {
    unsigned major = 0, minor = 0;
    bool known() const { return major != 0; }
    bool before(unsigned a, unsigned b) const { return major < a || (major == a && minor < b); }
};

Version libvirt_version(const Host &host) {
    Version version;
    if (host.is_simulated())
        return version;
    for (const char *program : {"/usr/sbin/libvirtd", "/usr/sbin/virtqemud"}) {
        if (access(program, X_OK) != 0)
            continue;
        const auto ran = run_program({program, "--version"}, std::chrono::seconds(5));
        if (!ran)
            continue;
        const std::size_t digits = ran->output.find_first_of("0123456789");
        if (digits != std::string::npos &&
            std::sscanf(ran->output.c_str() + digits, "%u.%u", &version.major, &version.minor) == 2)
            return version;
    }
    return version;
}

Result<std::string> fix_device(const Host &host) {
    const std::string device = host.path(kUserfaultfd);
    const ::group *kvm = getgrnam("kvm");
    if (kvm == nullptr)
        return fail(ENOENT, "there is no group kvm: it comes with Debian's qemu-system packages");
    if (const auto written = replace_file(host.path(kUdevRule), kUdevText); !written)
        return tl::unexpected<Error>(written.error());
    // Now, too, and not only when the device appears again.
    if (chown(device.c_str(), static_cast<uid_t>(-1), kvm->gr_gid) != 0 ||
        chmod(device.c_str(), 0660) != 0)
        return fail(errno,
                    device + " could not be given to the group kvm: " + std::strerror(errno));
    return std::string(kUdevRule) + " is written, and " + kUserfaultfd + " is 0660 root:kvm now";
}

void check_device_mode(const Host &host, Findings &findings) {
    const std::string device = host.path(kUserfaultfd);
    if (access(device.c_str(), F_OK) != 0)
        return; // the kernel's finding says so
    const std::string user = host.qemu_user();
    if (may(user, device, R_OK | W_OK)) {
        findings.push_back(
            {Grade::ok, "userfaultfd permission", user + " may open " + kUserfaultfd, ""});
        return;
    }
    // In a mount namespace of its own libvirt gives the guest's user the device, whatever its mode.
    const auto namespaces = qemu_conf_list(host.qemu_conf(), "namespaces");
    const bool has_namespace = !namespaces || std::find(namespaces->begin(), namespaces->end(),
                                                        "mount") != namespaces->end();
    findings.push_back(
        {has_namespace ? Grade::warn : Grade::fail, "userfaultfd permission",
         "the user " + user + " may not open " + kUserfaultfd +
             (has_namespace ? ", except in the /dev that libvirt makes for a guest"
                            : ", and libvirt makes no /dev of its own for guests here"),
         "install the udev rule 60-tidemark.rules (group kvm, mode 0660)",
         [&host] { return fix_device(host); }});
}

Result<std::string> fix_acl(const Host &host) {
    const std::string path = host.path(kQemuConf);
    const auto written = replace_file(path, qemu_conf_with_device(small_file(path), kUserfaultfd));
    if (!written)
        return tl::unexpected<Error>(written.error());
    return std::string(kUserfaultfd) + " is in cgroup_device_acl of " + kQemuConf +
           " (the old file is beside it, .before-tidemark); restart libvirtd, and guests that run "
           "keep what they have";
}

void check_acl(const Host &host, Findings &findings) {
    const auto acl = qemu_conf_list(host.qemu_conf(), "cgroup_device_acl");
    const Version version = libvirt_version(host);
    const bool listed = acl ? std::find(acl->begin(), acl->end(), kUserfaultfd) != acl->end()
                            : !version.known() || !version.before(10, 1);
    if (listed) {
        findings.push_back({Grade::ok, "qemu.conf",
                            std::string("guests are given ") + kUserfaultfd +
                                (acl ? " by cgroup_device_acl" : " by libvirt's default"),
                            ""});
        return;
    }
    findings.push_back({Grade::fail, "qemu.conf",
                        acl ? "cgroup_device_acl is set, and lacks /dev/userfaultfd"
                            : "this libvirt (" + std::to_string(version.major) + "." +
                                  std::to_string(version.minor) +
                                  ") does not give guests /dev/userfaultfd by default",
                        std::string("put \"") + kUserfaultfd + "\" into cgroup_device_acl in " +
                            kQemuConf + " and restart libvirtd",
                        [&host] { return fix_acl(host); }});
}

void check_sandbox(const Host &host, Findings &findings) {
    const std::string conf = host.path(kQemuConf);
    const bool there = access(conf.c_str(), F_OK) == 0;
    const auto sandbox = qemu_conf_value(host.qemu_conf(), "seccomp_sandbox");
    if (there && access(conf.c_str(), R_OK) != 0)
        findings.push_back({Grade::warn, "seccomp",
                            std::string(kQemuConf) +
                                " may not be read, so nobody knows here whether "
                                "guests run in QEMU's sandbox",
                            "run tidemark doctor as root"});
    else if (sandbox && *sandbox == "0")
        findings.push_back({Grade::warn, "seccomp",
                            std::string("seccomp_sandbox = 0 in ") + kQemuConf +
                                ": guests run without QEMU's sandbox; tiered memory works in it",
                            "take the line out, unless something else needs it, and restart "
                            "libvirtd"});
    else
        findings.push_back(
            {Grade::ok, "seccomp",
             there ? std::string(kQemuConf) + " leaves QEMU's sandbox on; tiered memory works in it"
                   : std::string("libvirt's default is QEMU's sandbox; tiered "
                                 "memory works in it"),
             ""});
}

// Without words it only says how it is called, and ends with 2.
void check_hook_runs(const std::string &hook, Findings &findings) {
    const auto ran = run_program({hook}, std::chrono::seconds(5));
    if (ran && ran->status == 2)
        findings.push_back({Grade::ok, "hook", std::string(kHook) + " is installed, and runs", ""});
    else
        findings.push_back(
            {Grade::fail, "hook",
             std::string(kHook) + " does not run: " +
                 (ran ? cut(ran->output, std::min<std::size_t>(ran->output.find('\n'), 200))
                      : ran.error().sentence),
             "install what it says is missing, or all again with scripts/qemu install"});
}

void check_hook(const Host &host, Findings &findings) {
    const std::string hook = host.path(kHook);
    if (access(hook.c_str(), F_OK) != 0) {
        findings.push_back({Grade::fail, "hook", std::string(kHook) + " is not there",
                            "`meson install` puts it there; then restart libvirtd once: it looks "
                            "for the first hook when it starts"});
        return;
    }
    struct stat info {};
    if (stat(hook.c_str(), &info) == 0 && (info.st_mode & S_IXUSR) != 0) {
        check_hook_runs(hook, findings);
        return;
    }
    findings.push_back({Grade::fail, "hook",
                        std::string(kHook) + " is not executable, so that libvirt skips it",
                        std::string("chmod 0755 ") + kHook, [hook]() -> Result<std::string> {
                            if (chmod(hook.c_str(), 0755) != 0)
                                return fail(errno, hook + ": " + std::strerror(errno));
                            return std::string(kHook) + " is executable";
                        }});
}

} // namespace

std::string Host::qemu_conf() const {
    return small_file(path(kQemuConf));
}

std::string Host::qemu_user() const {
    std::string user = qemu_conf_value(qemu_conf(), "user").value_or("");
    if (user.starts_with("+0") || user == "0")
        return "root";
    return user.empty() ? "libvirt-qemu" : user;
}

void check_permissions(const Host &host, Findings &findings) {
    check_device_mode(host, findings);
}

void check_libvirt(const Host &host, Findings &findings) {
    if (!host.is_simulated() && access("/usr/sbin/libvirtd", X_OK) != 0 &&
        access("/usr/sbin/virtqemud", X_OK) != 0) {
        findings.push_back({Grade::warn, "libvirt", "libvirt is not installed",
                            "apt install libvirt-daemon-system, if guests are to be libvirt's"});
    }
    check_hook(host, findings);
    check_acl(host, findings);
    check_sandbox(host, findings);
}

void check_emulator(const Host &host, Findings &findings) {
    const std::string emulator = host.emulator.empty() ? host.path(kEmulator) : host.emulator;
    if (access(emulator.c_str(), X_OK) != 0) {
        findings.push_back({Grade::fail, "emulator", emulator + " is not there or not executable",
                            "build it with scripts/qemu build and install it there, or name "
                            "another one with --emulator"});
        return;
    }
    const auto ran = run_program({emulator, "-object", "help"}, std::chrono::seconds(20));
    if (!ran)
        findings.push_back({Grade::fail, "emulator", ran.error().sentence, "install it again"});
    else if (ran->output.find("memory-backend-tiered") == std::string::npos)
        findings.push_back(
            {Grade::fail, "emulator",
             emulator + " has no memory-backend-tiered: " +
                 cut(ran->output, std::min<std::size_t>(ran->output.find('\n'), 200)),
             "install the QEMU that scripts/qemu build makes, with its "
             "libtidemark.so"});
    else
        findings.push_back({Grade::ok, "emulator", emulator + " has tiered memory", ""});
}

} // namespace tidemark::cli
