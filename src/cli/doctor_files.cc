// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/doctor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tidemark::cli {
namespace {

tl::unexpected<Error> failed(const std::string &what, const std::string &path) {
    const int error = errno;
    return fail(error, path + " could not be " + what + ": " + std::strerror(error));
}

} // namespace

std::string small_file(const std::string &path) {
    constexpr std::size_t kMost = 1U << 20;
    std::ifstream in(path, std::ios::binary);
    std::string text(kMost, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
    return text;
}

Result<void> replace_file(const std::string &path, const std::string &text) {
    struct stat was {};
    const bool existed = stat(path.c_str(), &was) == 0;
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    if (existed) {
        std::filesystem::copy_file(path, path + ".before-tidemark",
                                   std::filesystem::copy_options::overwrite_existing, error);
        if (error)
            return fail(error.value(), path + " could not be kept aside: " + error.message());
    }
    const std::string fresh = path + ".tidemark-new";
    {
        std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
        out << text;
        out.flush();
        if (!out)
            return failed("written", fresh);
    }
    if (existed && (chmod(fresh.c_str(), was.st_mode & 07777U) != 0 ||
                    chown(fresh.c_str(), was.st_uid, was.st_gid) != 0))
        return failed("given the old one's owner", fresh);
    if (std::rename(fresh.c_str(), path.c_str()) != 0)
        return failed("replaced", path);
    return {};
}

Result<void> make_folder(const std::string &path, unsigned mode, const std::string &user,
                         const std::string &group) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error)
        return fail(error.value(), path + " could not be made: " + error.message());
    const passwd *owner = user.empty() ? nullptr : getpwnam(user.c_str());
    const ::group *of = group.empty() ? nullptr : getgrnam(group.c_str());
    const auto uid = owner != nullptr ? owner->pw_uid : static_cast<uid_t>(-1);
    const auto gid = of != nullptr ? of->gr_gid : static_cast<gid_t>(-1);
    if (chown(path.c_str(), uid, gid) != 0 || chmod(path.c_str(), mode) != 0)
        return failed("given to " + user + ":" + group, path);
    return {};
}

bool may(const std::string &user, const std::string &path, int how) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0)
        return false;
    const passwd *who = getpwnam(user.c_str());
    // Of a user that is not there, as before libvirt is installed, only what all may do is known.
    unsigned shift = 0;
    if (who != nullptr) {
        if (who->pw_uid == 0)
            return true;
        std::array<gid_t, 256> groups{};
        int count = static_cast<int>(groups.size());
        count = getgrouplist(user.c_str(), who->pw_gid, groups.data(), &count) < 0 ? 0 : count;
        const auto end = groups.begin() + count;
        if (info.st_uid == who->pw_uid)
            shift = 6;
        else if (std::find(groups.begin(), end, info.st_gid) != end)
            shift = 3;
    }
    const auto wanted = static_cast<unsigned>(how);
    return ((info.st_mode >> shift) & wanted) == wanted;
}

} // namespace tidemark::cli
