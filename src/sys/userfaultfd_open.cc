// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/userfaultfd_open.h"

#include "sys/guest_memory.h"
#include "sys/uapi_userfaultfd.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/syscall.h>

namespace tidemark {
namespace {

// Never one of the EVENT_ features: with them a fork, mremap or madvise in the process would wait
// until a handler has read the event, and a handler that itself calls madvise would wait for
// itself.
constexpr __u64 kWanted = UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_MOVE | UFFD_FEATURE_POISON;

struct Feature {
    __u64 bit;
    const char *name;
};
constexpr std::array<Feature, 3> kFeatures{{
    {UFFD_FEATURE_THREAD_ID, "THREAD_ID (Linux 4.14)"},
    {UFFD_FEATURE_POISON, "POISON (Linux 6.6)"},
    {UFFD_FEATURE_MOVE, "MOVE (Linux 6.8)"},
}};

Result<UniqueFd> open_raw() {
    constexpr int kFlags = O_CLOEXEC | O_NONBLOCK;
    int device_error = 0;
    const UniqueFd device(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
    if (device.valid()) {
        UniqueFd fd(ioctl(device.get(), USERFAULTFD_IOC_NEW, kFlags));
        if (fd.valid())
            return fd;
    }
    device_error = errno;
    UniqueFd fd(static_cast<int>(syscall(SYS_userfaultfd, kFlags)));
    if (fd.valid())
        return fd;
    switch (errno) {
    case EPERM:
    case EACCES:
        return fail(EPERM,
                    std::string("userfaultfd is not permitted here (/dev/userfaultfd: ") +
                        std::strerror(device_error) +
                        "); give this user read and write access to /dev/userfaultfd, or set "
                        "the sysctl vm.unprivileged_userfaultfd to 1");
    case ENOSYS:
        return fail(ENOSYS, "this kernel has no userfaultfd; a kernel built with "
                            "CONFIG_USERFAULTFD=y is needed (Linux 6.8 or later)");
    default: {
        const int error = errno;
        return fail(error,
                    std::string("userfaultfd could not be created: ") + std::strerror(error));
    }
    }
}

} // namespace

Result<UniqueFd> open_userfaultfd() {
    // The handshake works once per descriptor and refuses features the kernel does not know, so the
    // first descriptor is only there to be asked.
    Result<UniqueFd> asked = open_raw();
    if (!asked)
        return asked;
    uffdio_api api{};
    api.api = UFFD_API;
    if (ioctl(asked->get(), UFFDIO_API, &api) != 0)
        return fail(errno,
                    std::string("the userfaultfd handshake failed: ") + std::strerror(errno));
    std::string missing;
    for (const Feature &feature : kFeatures) {
        if ((api.features & feature.bit) == 0)
            missing += (missing.empty() ? "" : ", ") + std::string(feature.name);
    }
    if (!missing.empty())
        return fail(EOPNOTSUPP, "this kernel's userfaultfd lacks " + missing +
                                    "; tiered memory needs Linux 6.8 or later");

    Result<UniqueFd> fd = open_raw();
    if (!fd)
        return fd;
    api = {};
    api.api = UFFD_API;
    api.features = kWanted;
    if (ioctl(fd->get(), UFFDIO_API, &api) != 0)
        return fail(errno,
                    std::string("the userfaultfd handshake failed: ") + std::strerror(errno));
    return fd;
}

Result<void> probe_userfaultfd() {
    const Result<UniqueFd> fd = open_userfaultfd();
    if (!fd)
        return tl::unexpected<Error>(fd.error());
    return {};
}

} // namespace tidemark
