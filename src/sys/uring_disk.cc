// SPDX-License-Identifier: GPL-2.0-or-later
//
// A tier's disk over io_uring.
#include "sys/disk.h"

#include "sys/tier_file.h"
#include "sys/uring_queue.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

namespace tidemark {
namespace {

class UringDisk final : public Disk {
  public:
    explicit UringDisk(TierFile file) : file_(std::move(file)) {}

    Result<std::unique_ptr<IoQueue>> open_queue(std::uint32_t depth) override {
        return UringQueue::open({file_.fd.get()}, depth);
    }
    int discard(std::uint64_t offset, std::uint64_t length) override;
    std::uint64_t size() const override { return file_.size; }
    bool direct() const override { return file_.direct; }
    int descriptor() const override { return file_.fd.get(); }

  private:
    TierFile file_;
};

int UringDisk::discard(std::uint64_t offset, std::uint64_t length) {
    int rc = 0;
    do {
        if (file_.block_device) {
            std::uint64_t range[2] = {offset, length};
            rc = ioctl(file_.fd.get(), BLKDISCARD, range);
        } else {
            rc = fallocate(file_.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(offset), static_cast<off_t>(length));
        }
    } while (rc != 0 && errno == EINTR);
    // A disk that cannot forget just keeps the bytes; nobody reads them.
    if (rc == 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == ENOTTY)
        return 0;
    return errno;
}

} // namespace

Result<std::unique_ptr<Disk>>
open_uring_disk(const std::string &path, std::uint64_t capacity,
                const std::function<void(const std::string &)> &warn) {
    Result<TierFile> file = open_tier_file(path, capacity, warn);
    if (!file)
        return tl::unexpected<Error>(file.error());
    // Asked now, so that a missing permission is told before the guest runs.
    const Result<std::unique_ptr<UringQueue>> probe = UringQueue::open({file->fd.get()}, 1);
    if (!probe)
        return tl::unexpected<Error>(
            Error{probe.error().code, "tier path '" + path + "': " + probe.error().sentence});
    return std::make_unique<UringDisk>(std::move(*file));
}

} // namespace tidemark
