// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/left_files.h"

#include "daemon/guests.h"
#include "domain/group_id.h"
#include "domain/host_config.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace tidemark::daemon {

bool LeftFiles::stat(const std::string &path, File &file) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) {
        return false;
    }
    file = {found.st_dev, found.st_ino, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
    return true;
}

// libvirt's word is enough for its own domains; a QEMU that somebody else runs is seen here.
bool LeftFiles::may_run(const std::string &uuid) const {
    const Guest *guest = guests_.find(uuid);
    return guest != nullptr &&
           (guest->connected || (guest->pid > 0 && (kill(guest->pid, 0) == 0 || errno != ESRCH)));
}

void LeftFiles::look(Clock::time_point now) {
    if (!ask_) {
        return;
    }
    std::map<std::string, Seen> seen;
    std::vector<std::string> asked;
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(config_.domains_dir(), error)) {
        const std::string name = entry.path().filename().string();
        const auto uuid = domain::normal_uuid(name.substr(0, name.find('.')));
        Seen is{{}, now};
        if (!uuid || name != *uuid + ".json" || may_run(*uuid) ||
            !stat(entry.path().string(), is.file)) {
            continue;
        }
        if (const auto was = seen_.find(*uuid); was != seen_.end() && was->second.file == is.file) {
            is.since = was->second.since;
        }
        if (now - is.since >= after_) {
            asked.push_back(*uuid);
            is.since = now;
        }
        seen.emplace(*uuid, is);
    }
    seen_ = std::move(seen);
    if (!asked.empty()) {
        ask_(std::move(asked), [weak = weak_from_this()](const Ended &ended) {
            const auto self = weak.lock();
            for (const std::string &uuid : self ? ended : Ended{}) {
                self->remove(uuid);
            }
        });
    }
}

// It is the same file as before the question: no hook has prepared another start since. One that does so at this very
// moment must find its file, so it is first moved aside, looked at again, and put back.
void LeftFiles::remove(const std::string &uuid) {
    const auto seen = seen_.find(uuid);
    File now;
    const std::string path = config_.domain_file(uuid);
    if (seen == seen_.end() || may_run(uuid) || !stat(path, now) || now != seen->second.file) {
        return;
    }
    const std::string aside = config_.domains_dir() + "/." + uuid + ".left";
    if (::rename(path.c_str(), aside.c_str()) != 0) {
        spdlog::warn("domain {}: it has ended, and its file {} cannot be removed: {}", uuid, path,
                     std::generic_category().message(errno));
        return;
    }
    if (!stat(aside, now) || now != seen->second.file) {
        ::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
        return;
    }
    ::unlink(aside.c_str());
    seen_.erase(seen);
    spdlog::warn("domain {}: it has ended, and the hook did not remove its file: removed", uuid);
}

} // namespace tidemark::daemon
