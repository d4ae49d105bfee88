// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace tidemark::daemon {

namespace {

std::string errno_text(int error) {
    return std::strerror(error); // NOLINT(concurrency-mt-unsafe): glibc's is for known errors
}

tl::unexpected<Error> failed(const std::string &what, int error = errno) {
    return fail(error, "cannot " + what + ": " + errno_text(error));
}

// An open file, or -1.
class Fd {
  public:
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd(const Fd &) = delete;
    Fd &operator=(const Fd &) = delete;
    Fd &operator=(Fd &&) = delete;
    ~Fd() {
        if (fd_ >= 0)
            close(fd_);
    }
    explicit operator bool() const { return fd_ >= 0; }
    int get() const { return fd_; }

  private:
    int fd_;
};

Result<void> copy(int from, int to, const std::string &name) {
    std::array<char, 1 << 16> buffer; // NOLINT: read() fills what is used
    std::size_t sum = 0;
    for (;;) {
        const ssize_t got = read(from, buffer.data(), buffer.size());
        if (got == 0)
            return {};
        if (got < 0)
            return failed("read " + name);
        // It may grow while it is read.
        if ((sum += static_cast<std::size_t>(got)) > kExchangedMost)
            return fail(EFBIG,
                        name + " has more than " + std::to_string(kExchangedMost) + " bytes");
        for (ssize_t done = 0; done < got;) {
            const ssize_t put =
                write(to, buffer.data() + done, static_cast<std::size_t>(got - done));
            if (put <= 0)
                return failed("write the copy of " + name);
            done += put;
        }
    }
}

} // namespace

bool is_file_name(const std::string &text) {
    return !text.empty() && text.size() <= 64 && text[0] != '.' &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
           });
}

Result<void> make_directories(const std::string &dir) {
    std::error_code error;
    std::filesystem::path sum;
    for (const auto &part : std::filesystem::path(dir)) {
        sum /= part;
        if (mkdir(sum.c_str(), 0700) != 0 && errno != EEXIST)
            return failed("make the directory " + sum.string());
    }
    if (!std::filesystem::is_directory(dir, error))
        return fail(ENOTDIR, dir + " is not a directory");
    return {};
}

// The parent is the daemon's, so nobody can put something else in the directory's place.
Result<void> Exchange::prepare() const {
    const std::string parent = std::filesystem::path(dir).parent_path();
    if (mkdir(parent.c_str(), 0711) != 0 && errno != EEXIST)
        return failed("make the directory " + parent);
    if (chmod(parent.c_str(), 0711) != 0)
        return failed("set the mode of " + parent);
    if (mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST)
        return failed("make the directory " + dir);
    const Fd opened(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened)
        return failed("open the directory " + dir);
    struct stat info {};
    if (fstat(opened.get(), &info) != 0)
        return failed("look at " + dir);
    if ((info.st_uid != uid || info.st_gid != gid) && fchown(opened.get(), uid, gid) != 0)
        return failed("give " + dir + " to QEMU's user");
    return {};
}

Result<void> Exchange::put(const std::string &from, const std::string &name) const {
    if (auto prepared = prepare(); !prepared)
        return prepared;
    const Fd source(open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source)
        return failed("open " + from);
    const Fd directory(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory)
        return failed("open the directory " + dir);
    unlinkat(directory.get(), name.c_str(), 0);
    const Fd target(openat(directory.get(), name.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400));
    if (!target)
        return failed("make " + file(name));
    if (auto copied = copy(source.get(), target.get(), from); !copied)
        return copied;
    if (fchown(target.get(), uid, gid) != 0)
        return failed("give " + file(name) + " to QEMU's user");
    return {};
}

Result<void> Exchange::take(const std::string &name, const std::string &to) const {
    const Fd directory(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory)
        return failed("open the directory " + dir);
    // Not blocking: it may have become a fifo.
    const Fd source(
        openat(directory.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!source)
        return failed("open " + file(name));
    struct stat info {};
    // A second name would be of a file that QEMU's user may not even read.
    if (fstat(source.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != uid ||
        info.st_nlink != 1)
        return fail(EACCES, file(name) + " is not a plain file of QEMU's own");
    if (auto made = make_directories(std::filesystem::path(to).parent_path()); !made)
        return made;
    const std::string beside = to + ".new";
    {
        const Fd target(
            open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!target)
            return failed("make " + beside);
        Result<void> copied = copy(source.get(), target.get(), file(name));
        if (copied && fsync(target.get()) != 0)
            copied = failed("write " + beside);
        if (!copied) {
            unlink(beside.c_str());
            return copied;
        }
    }
    if (rename(beside.c_str(), to.c_str()) != 0)
        return failed("rename " + beside);
    unlinkat(directory.get(), name.c_str(), 0);
    return {};
}

void Exchange::remove_all() const {
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored); // does not follow links
}

Result<void> write_note(const std::string &path, const std::string &text) {
    const std::string beside = path + ".new";
    std::ofstream out(beside, std::ios::trunc);
    out << text;
    out.close();
    if (!out || rename(beside.c_str(), path.c_str()) != 0)
        return fail(EIO, "cannot write " + path);
    return {};
}

std::string read_note(const std::string &path) {
    std::ifstream in(path);
    std::string text(256, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
    return text;
}

} // namespace tidemark::daemon
