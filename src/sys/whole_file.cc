// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/whole_file.h"

#include "sys/unique_fd.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tidemark {
namespace {

tl::unexpected<Error> failed(const std::string &what, const std::string &path, int error) {
    return fail(error, "file '" + path + "' can't be " + what + ": " + std::strerror(error));
}

// 0 or a positive errno.
int write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t done = write(fd, bytes.data(), bytes.size());
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : EIO;
        bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
    return fsync(fd) == 0 ? 0 : errno;
}

} // namespace

Result<void> write_whole_file(const std::string &path, std::span<const std::byte> bytes) {
    std::string beside = path + ".XXXXXX";
    const UniqueFd fd(mkostemp(beside.data(), O_CLOEXEC)); // mode 0600
    if (!fd.valid())
        return failed("written", path, errno);
    int error = write_all(fd.get(), bytes);
    if (error == 0 && std::rename(beside.c_str(), path.c_str()) != 0)
        error = errno;
    if (error != 0) {
        unlink(beside.c_str());
        return failed("written", path, error);
    }
    return {};
}

Result<std::vector<std::byte>> read_whole_file(const std::string &path, std::size_t most) {
    // O_NONBLOCK: a pipe of that name must not make us wait.
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat about {};
    if (!fd.valid() || fstat(fd.get(), &about) != 0)
        return failed("read", path, errno);
    if (!S_ISREG(about.st_mode))
        return fail(EINVAL, "'" + path + "' is no regular file");
    if (static_cast<std::uint64_t>(about.st_size) > most)
        return fail(EFBIG, "file '" + path + "' has " + std::to_string(about.st_size) +
                               " bytes, and what is read from it has " + std::to_string(most) +
                               " at most");
    std::vector<std::byte> bytes(static_cast<std::size_t>(about.st_size));
    std::size_t got = 0;
    while (got < bytes.size()) {
        const ssize_t done = read(fd.get(), bytes.data() + got, bytes.size() - got);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return failed("read", path, errno);
        if (done == 0)
            break;
        got += static_cast<std::size_t>(done);
    }
    bytes.resize(got);
    return bytes;
}

} // namespace tidemark
