// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/daemon_files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tidemark::daemon {
namespace {

tl::unexpected<Error> cannot(const std::string &what, int code) {
    return fail(code, "cannot " + what + ": " + std::strerror(code));
}

Result<void> write_whole(int fd, std::string_view content, const std::string &path) {
    while (!content.empty()) {
        const ssize_t written = write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return cannot("write " + path, errno);
        }
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

} // namespace

Result<void> make_folder(const std::string &path, mode_t mode) {
    struct stat there {};
    if (stat(path.c_str(), &there) == 0) {
        if (S_ISDIR(there.st_mode)) {
            return {};
        }
        return fail(ENOTDIR, path + " is there, and is no folder");
    }
    const std::size_t slash = path.rfind('/');
    if (slash != std::string::npos && slash > 0) {
        if (auto above = make_folder(path.substr(0, slash), 0755); !above) {
            return above;
        }
    }
    if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
        return cannot("make the folder " + path, errno);
    }
    return {};
}

Result<UniqueFd> take_lock(const std::string &path) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) {
        return cannot("open " + path, errno);
    }
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail(EBUSY, "another tidemarkd runs with " + path);
    }
    return fd;
}

Result<void> replace_content(const std::string &path, std::string_view content) {
    struct stat there {};
    if (lstat(path.c_str(), &there) != 0) {
        return cannot("change " + path, errno);
    }
    if (!S_ISREG(there.st_mode)) {
        return fail(EINVAL, path + " is no plain file");
    }
    const std::string draft = path + ".new";
    unlink(draft.c_str());
    const UniqueFd fd(
        open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) {
        return cannot("write " + draft, errno);
    }
    auto written = write_whole(fd.get(), content, draft);
    if (written && (fchown(fd.get(), there.st_uid, there.st_gid) != 0 ||
                    fchmod(fd.get(), there.st_mode & 07777) != 0 || fsync(fd.get()) != 0 ||
                    rename(draft.c_str(), path.c_str()) != 0)) {
        written = cannot("replace " + path, errno);
    }
    if (!written) {
        unlink(draft.c_str());
    }
    return written;
}

} // namespace tidemark::daemon
