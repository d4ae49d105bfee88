// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain_file.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <grp.h>
#include <optional>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace tidemark::hook {

namespace {

// "qemu", "64055" or "+64055", as libvirt writes groups.
std::optional<gid_t> group_of(std::string name) {
    if (name.starts_with('+'))
        name.erase(0, 1);
    gid_t number = 0;
    const char *end = name.data() + name.size();
    const auto [after, error] = std::from_chars(name.data(), end, number);
    if (error == std::errc{} && after == end)
        return number;
    const group *found = name.empty() ? nullptr : ::getgrnam(name.c_str());
    return found == nullptr ? std::nullopt : std::optional<gid_t>(found->gr_gid);
}

// The value of `group = "..."`, if the line that says so is no comment.
std::string group_in_qemu_conf() {
    const char *other = std::getenv("TIDEMARK_QEMU_CONF");
    std::ifstream file(other != nullptr ? other : "/etc/libvirt/qemu.conf");
    std::string line;
    while (std::getline(file, line)) {
        const std::size_t begin = line.find_first_not_of(" \t");
        if (begin == std::string::npos || line.compare(begin, 5, "group") != 0)
            continue;
        const std::size_t equals = line.find_first_not_of(" \t", begin + 5);
        if (equals == std::string::npos || line[equals] != '=')
            continue;
        const std::size_t open = line.find('"', equals);
        const std::size_t close = line.find('"', open == std::string::npos ? open : open + 1);
        if (close != std::string::npos)
            return line.substr(open + 1, close - open - 1);
    }
    return {};
}

std::optional<gid_t> qemu_group(const std::string &dac_label) {
    if (const std::size_t colon = dac_label.find(':'); colon != std::string::npos)
        if (const auto group = group_of(dac_label.substr(colon + 1)))
            return group;
    if (const auto group = group_of(group_in_qemu_conf()))
        return group;
    for (const char *usual : {"libvirt-qemu", "qemu"}) // Debian's, Fedora's
        if (const auto group = group_of(usual))
            return group;
    return std::nullopt;
}

Result<void> make_directory(const std::string &path) {
    if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST)
        return {};
    return fail(errno, "the directory " + path + " cannot be made: " + std::strerror(errno));
}

Result<void> write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno != EINTR)
            return fail(errno, std::strerror(errno));
        if (written > 0)
            text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

// As root the file belongs to root and QEMU's group; anybody else (a session's libvirt) runs QEMU as
// the very user that the hook runs as.
Result<void> give_to_qemu(int fd, const std::string &dac_label) {
    if (::geteuid() != 0)
        return {};
    const auto group = qemu_group(dac_label);
    if ((group && ::fchown(fd, 0, *group) != 0) || ::fchmod(fd, group ? 0640 : 0644) != 0)
        return fail(errno, std::strerror(errno));
    return {};
}

} // namespace

Result<void> write_domain_file(const domain::ResolvedDomain &resolved,
                               const domain::HostConfig &config, const std::string &dac_label) {
    for (const std::string &path : {config.run_dir, config.domains_dir()})
        if (auto made = make_directory(path); !made)
            return made;
    const std::string path = config.domain_file(resolved.uuid);
    const std::string draft =
        config.domains_dir() + "/." + resolved.uuid + "." + std::to_string(::getpid());
    ::unlink(draft.c_str()); // of a process of that number that died
    const int fd =
        ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(errno, path + " cannot be written: " + std::strerror(errno));
    auto done = give_to_qemu(fd, dac_label);
    if (done)
        done = write_all(fd, domain::to_json_text(resolved));
    if (::close(fd) != 0 && done)
        done = fail(errno, std::strerror(errno));
    if (done && ::rename(draft.c_str(), path.c_str()) != 0)
        done = fail(errno, std::strerror(errno));
    if (done)
        return {};
    ::unlink(draft.c_str());
    return fail(done.error().code, path + " cannot be written: " + done.error().sentence);
}

void remove_domain_file(const domain::HostConfig &config, const std::string &uuid) {
    ::unlink(config.domain_file(uuid).c_str());
}

} // namespace tidemark::hook
