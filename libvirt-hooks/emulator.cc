// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads the list of needed libraries out of the ELF file, some hundred kilobytes at most: starting the
// binary and asking it would take longer than a hook may.
#include "emulator.h"

#include <cstdint>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace tidemark::hook {

namespace {

constexpr std::size_t kHeadersMost = 256;
constexpr std::size_t kDynamicMost = 4096;
constexpr std::size_t kStringsMost = 16U << 20;
constexpr std::string_view kLibrary = "libtidemark.so";

class Elf {
  public:
    explicit Elf(const std::string &path)
        : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
    ~Elf() {
        if (fd_ >= 0)
            ::close(fd_);
    }
    Elf(const Elf &) = delete;
    Elf &operator=(const Elf &) = delete;

    EmulatorKind kind() {
        if (!read_headers())
            return EmulatorKind::unknown;
        std::vector<std::uint64_t> needed;
        std::uint64_t strings = 0, size = 0;
        for (const Elf64_Dyn &entry : dynamic_) {
            if (entry.d_tag == DT_NEEDED)
                needed.push_back(entry.d_un.d_val);
            else if (entry.d_tag == DT_STRTAB)
                strings = entry.d_un.d_ptr;
            else if (entry.d_tag == DT_STRSZ)
                size = entry.d_un.d_val;
        }
        std::vector<char> table;
        if (needed.empty() || size == 0 || size > kStringsMost ||
            !read(table, size, place_of(strings)))
            return EmulatorKind::unknown;
        table.push_back('\0');
        for (const std::uint64_t at : needed)
            if (at < size && std::string_view(table.data() + at).starts_with(kLibrary))
                return EmulatorKind::tidemark;
        return EmulatorKind::other;
    }

  private:
    template <typename T> bool read(std::vector<T> &into, std::size_t count, std::uint64_t at) {
        into.resize(count);
        const std::size_t bytes = count * sizeof(T);
        return fd_ >= 0 && ::pread(fd_, into.data(), bytes, static_cast<off_t>(at)) ==
                               static_cast<ssize_t>(bytes);
    }

    bool read_headers() {
        std::vector<Elf64_Ehdr> head;
        if (!read(head, 1, 0) || std::memcmp(head[0].e_ident, ELFMAG, SELFMAG) != 0 ||
            head[0].e_ident[EI_CLASS] != ELFCLASS64 || head[0].e_phnum > kHeadersMost ||
            head[0].e_phentsize != sizeof(Elf64_Phdr) ||
            !read(programs_, head[0].e_phnum, head[0].e_phoff))
            return false;
        for (const Elf64_Phdr &each : programs_)
            if (each.p_type == PT_DYNAMIC && each.p_filesz / sizeof(Elf64_Dyn) <= kDynamicMost)
                return read(dynamic_, each.p_filesz / sizeof(Elf64_Dyn), each.p_offset);
        return false;
    }

    // Where in the file stands what is at that address in memory.
    std::uint64_t place_of(std::uint64_t address) const {
        for (const Elf64_Phdr &each : programs_)
            if (each.p_type == PT_LOAD && address >= each.p_vaddr &&
                address - each.p_vaddr < each.p_filesz)
                return each.p_offset + (address - each.p_vaddr);
        return ~std::uint64_t{0} >> 1; // beyond the end of any file
    }

    int fd_;
    std::vector<Elf64_Phdr> programs_;
    std::vector<Elf64_Dyn> dynamic_;
};

} // namespace

EmulatorKind emulator_kind(const std::string &path) {
    return Elf(path).kind();
}

} // namespace tidemark::hook
