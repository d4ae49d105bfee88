// SPDX-License-Identifier: GPL-2.0-or-later
#include "memory_side.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace tidemark::perf {

namespace {

constexpr std::uint64_t kHugePage = 2ull << 20;

[[noreturn]] void fail(const std::string &what) {
    throw SideError{what + ": " + std::strerror(errno)};
}

void page_out(void *map, std::uint64_t size) {
    if (madvise(map, size, MADV_PAGEOUT) != 0)
        fail("the memory could not be paged out");
}

// Stock RAM. Whether the kernel swaps it is decided by the cgroup the process was started in.
class AnonymousSide final : public MemorySide {
  public:
    AnonymousSide(const SideOptions &options, bool to_disk)
        : map_(options.size), size_(options.size), to_disk_(to_disk) {}
    std::uint64_t *words() const override { return map_.words(); }
    void evict_all() override { page_out(words(), size_); }
    void discard(std::size_t page, std::size_t count) override {
        madvise(words() + page * 512, count * 4096, MADV_DONTNEED);
    }
    DiskBytes disk_bytes(const Counters &spent) const override {
        // zram's pages are counted as swapped, but stay in DRAM.
        return to_disk_ ? DiskBytes{spent.swapped_in, spent.swapped_out} : DiskBytes{};
    }

  private:
    AnonymousMap map_;
    std::uint64_t size_;
    bool to_disk_;
};

// A file mapped shared, as memory-backend-file does: the kernel's page cache is the guest's RAM.
class FileSide final : public MemorySide {
  public:
    explicit FileSide(const SideOptions &options) : size_(options.size) {
        std::string name = options.folder + "/tidemark-bench-file-XXXXXX";
        const int file = mkostemp(name.data(), O_CLOEXEC);
        if (file < 0)
            fail("no file for the mapping in " + options.folder);
        unlink(name.c_str());
        // With its blocks: laying out a file with holes is not what is compared.
        errno = posix_fallocate(file, 0, static_cast<off_t>(size_));
        if (errno != 0)
            fail("the mapped file could not be made as large as the footprint");
        map_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (map_ == MAP_FAILED)
            fail("the file could not be mapped");
    }
    ~FileSide() override { munmap(map_, size_); }
    std::uint64_t *words() const override { return static_cast<std::uint64_t *>(map_); }
    void evict_all() override { page_out(map_, size_); }
    void discard(std::size_t page, std::size_t count) override {
        madvise(words() + page * 512, count * 4096, MADV_REMOVE);
    }
    DiskBytes disk_bytes(const Counters &spent) const override {
        // The flusher writes it, on nobody's account: only the disk's own counter has it.
        return {spent.process_read, spent.disk_written};
    }

  private:
    std::uint64_t size_;
    void *map_ = nullptr;
};

} // namespace

AnonymousMap::AnonymousMap(std::uint64_t size) : map_bytes_(size + kHugePage) {
    map_ = mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map_ == MAP_FAILED)
        fail("no anonymous memory for the footprint");
    const auto start = reinterpret_cast<std::uintptr_t>(map_);
    const std::uintptr_t aligned = (start + kHugePage - 1) & ~(kHugePage - 1);
    words_ = reinterpret_cast<std::uint64_t *>(aligned);
    // A kernel without huge pages says EINVAL, and the comparison goes on without them.
    if (madvise(words_, size, MADV_HUGEPAGE) != 0 && errno != EINVAL)
        fail("huge pages could not be asked for");
    madvise(words_, size, MADV_DONTFORK);
}

AnonymousMap::~AnonymousMap() {
    munmap(map_, map_bytes_);
}

std::unique_ptr<MemorySide> make_side(const SideOptions &options) {
    if (options.side == "tidemark")
        return make_tidemark_side(options);
    if (options.side == "file")
        return std::make_unique<FileSide>(options);
    if (options.side == "ram" || options.side == "zram")
        return std::make_unique<AnonymousSide>(options, false);
    if (options.side == "swap")
        return std::make_unique<AnonymousSide>(options, true);
    throw SideError{"unknown side '" + options.side + "': tidemark, ram, swap, zram or file"};
}

} // namespace tidemark::perf
