// SPDX-License-Identifier: GPL-2.0-or-later
#include "neighbour.h"

#include "memory_side.h"
#include "orders.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <memory>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

extern char **environ;

namespace tidemark::perf {

namespace {

constexpr std::size_t kCopyBytes = 1u << 20;
constexpr std::size_t kFileBytes = 32u << 20;

struct Free {
    void operator()(void *memory) const { std::free(memory); }
};
using Buffer = std::unique_ptr<char, Free>;

Buffer make_buffer() {
    auto *memory = static_cast<char *>(std::aligned_alloc(kPageBytes, kCopyBytes));
    std::memset(memory, 'n', kCopyBytes);
    return Buffer(memory);
}

// A file on the measured disk, past the page cache; -1 if there is none to be had.
int make_file(const std::string &folder, const char *content) {
    std::string name = folder + "/tidemark-bench-neighbour-XXXXXX";
    const int file = mkostemp(name.data(), O_CLOEXEC);
    if (file < 0)
        return -1;
    unlink(name.c_str());
    fcntl(file, F_SETFL, O_DIRECT);
    for (std::size_t at = 0; at < kFileBytes; at += kCopyBytes)
        if (pwrite(file, content, kCopyBytes, static_cast<off_t>(at)) != ssize_t{kCopyBytes})
            return -1;
    return file;
}

void read_for_ever(int file, char *page) {
    Random random(7);
    while (true) {
        const std::uint64_t at = random.below(kFileBytes / kPageBytes) * kPageBytes;
        if (pread(file, page, kPageBytes, static_cast<off_t>(at)) != ssize_t{kPageBytes})
            std::_Exit(1);
    }
}

} // namespace

void Neighbour::be(const std::string &folder, const std::string &group) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!group.empty() && !(std::ofstream(group) << "0" << std::flush))
        std::_Exit(1);
    const Buffer from = make_buffer();
    const Buffer to = make_buffer();
    const Buffer page = make_buffer();
    const int file = make_file(folder, from.get());
    if (file < 0 || write(STDOUT_FILENO, "r", 1) != 1)
        std::_Exit(1);
    const std::thread reader([&] { read_for_ever(file, page.get()); });
    while (true) {
        std::memcpy(to.get(), from.get(), kCopyBytes);
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
}

Neighbour::Neighbour(const std::string &folder, const std::string &group) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0)
        throw SideError{std::string("no pipe for the neighbour: ") + std::strerror(errno)};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], STDOUT_FILENO);
    std::string program = "/proc/self/exe", argument = kArgument, place = folder, where = group;
    char *const words[] = {program.data(), argument.data(), place.data(), where.data(), nullptr};
    const int error = posix_spawn(&pid_, program.c_str(), &actions, nullptr, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    char byte = 0;
    const bool started = error == 0 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!started)
        throw SideError{"the noisy neighbour did not start in " + folder};
}

Neighbour::~Neighbour() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

} // namespace tidemark::perf
