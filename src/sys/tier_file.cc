// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/tier_file.h"

#include "base/units.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <memory>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace tidemark {
namespace {

constexpr int kMode = 0600;
constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;

tl::unexpected<Error> fail_path(int code, const std::string &path, const std::string &rest) {
    return fail(code, "tier path '" + path + "' " + rest);
}

// "cannot be used: Permission denied; ..." for the errors a person can do something about.
tl::unexpected<Error> fail_open(int code, const std::string &path) {
    const std::string why = std::string("cannot be used: ") + std::strerror(code);
    switch (code) {
    case EACCES:
    case EPERM:
        return fail_path(code, path, why + "; a path that this process may write to is needed");
    case EROFS:
        return fail_path(code, path, why + "; a directory on a writable file system is needed");
    case EBUSY:
        return fail_path(code, path,
                         why + "; the block device is mounted or used by something else");
    case ENOSPC:
    case EDQUOT:
        return fail_path(code, path, why + "; free some space or name another directory");
    default:
        return fail_path(code, path,
                         why + "; a directory, a path that does not exist yet, or a "
                               "block device is needed");
    }
}

// O_TMPFILE where the file system has it; else a file under a random name that is unlinked at once.
Result<UniqueFd> make_in_directory(const std::string &directory) {
    UniqueFd fd(open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, kMode));
    if (fd.valid())
        return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        return fail_open(errno, directory);
    std::string name = directory + "/tidemark-XXXXXX";
    fd = UniqueFd(mkostemp(name.data(), O_CLOEXEC)); // creates with mode 0600
    if (!fd.valid())
        return fail_open(errno, directory);
    if (unlink(name.c_str()) != 0)
        return fail_open(errno, name);
    return fd;
}

Result<UniqueFd> make_at_path(const std::string &path) {
    UniqueFd fd(open(path.c_str(), kFlags | O_CREAT | O_EXCL, kMode));
    if (!fd.valid()) {
        if (errno == ENOENT)
            return fail_path(ENOENT, path,
                             "lies in a directory that does not exist; create it, or name one "
                             "that does");
        return fail_open(errno, path);
    }
    if (unlink(path.c_str()) != 0)
        return fail_open(errno, path);
    return fd;
}

// O_DIRECT is set afterwards, so that a file system without it costs a warning and not the tier. Some
// take the flag and refuse the I/O, so one aligned read is tried.
bool set_direct(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) != 0)
        return false;
    const std::unique_ptr<void, void (*)(void *)> page(std::aligned_alloc(kPageSize, kPageSize),
                                                       std::free);
    if (page != nullptr && pread(fd, page.get(), kPageSize, 0) >= 0)
        return true;
    fcntl(fd, F_SETFL, flags);
    return false;
}

Result<TierFile> open_device(const std::string &path, std::uint64_t capacity) {
    TierFile file;
    file.block_device = true;
    // O_EXCL: refused while a file system, a RAID or another process holds the device.
    file.fd = UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_EXCL));
    if (!file.fd.valid())
        return fail_open(errno, path);
    if (ioctl(file.fd.get(), BLKGETSIZE64, &file.size) != 0)
        return fail_open(errno, path);
    file.size -= file.size % kPageSize;
    if (file.size < capacity)
        return fail_path(
            ENOSPC, path,
            "is a block device of " + std::to_string(file.size) +
                " bytes, less than the capacity of " + std::to_string(capacity) +
                "; give a capacity of at most the device's size, or 0 to use all of it");
    if (file.size == 0)
        return fail_path(EINVAL, path, "is a block device without any space");
    if (capacity != 0)
        file.size = capacity;
    return file;
}

Result<TierFile> make_file(const std::string &path, std::uint64_t capacity, bool directory) {
    if (capacity == 0)
        return fail_path(EINVAL, path,
                         "is not a block device, so its capacity can't be 0; give the number of "
                         "bytes the tier may use");
    TierFile file;
    Result<UniqueFd> fd = directory ? make_in_directory(path) : make_at_path(path);
    if (!fd)
        return tl::unexpected<Error>(fd.error());
    file.fd = std::move(*fd);
    file.size = capacity;
    if (ftruncate(file.fd.get(), static_cast<off_t>(capacity)) != 0) {
        const int error = errno;
        return fail_path(error, path,
                         "cannot hold a file of " + std::to_string(capacity) + " bytes: " +
                             std::strerror(error) + "; give a smaller capacity or another path");
    }
    return file;
}

} // namespace

Result<TierFile> open_tier_file(const std::string &path, std::uint64_t capacity,
                                const std::function<void(const std::string &)> &warn) {
    if (path.empty())
        return fail_path(EINVAL, path,
                         "is empty; a directory, a path that does not exist yet, or a "
                         "block device is needed");
    struct stat info {};
    const bool exists = stat(path.c_str(), &info) == 0;
    if (!exists && errno != ENOENT)
        return fail_open(errno, path);
    if (exists && !S_ISDIR(info.st_mode) && !S_ISBLK(info.st_mode))
        return fail_path(EEXIST, path,
                         "is an existing file; it is left alone. A directory, a path that "
                         "does not exist yet, or a block device is needed");
    Result<TierFile> file = exists && S_ISBLK(info.st_mode) ? open_device(path, capacity)
                                                            : make_file(path, capacity, exists);
    if (!file)
        return file;
    file->direct = set_direct(file->fd.get());
    if (!file->direct && warn)
        warn("tier path '" + path +
             "' does not take direct I/O (O_DIRECT); its pages also go through the host's page "
             "cache, "
             "which uses DRAM that no limit counts");
    return file;
}

} // namespace tidemark
