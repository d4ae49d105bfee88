// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/program.h"

#include "sys/unique_fd.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

namespace tidemark::cli {
namespace {

constexpr std::size_t kOutputMost = 256U << 10;

Result<pid_t> spawn(const std::vector<std::string> &words, int output) {
    std::vector<char *> argv;
    for (const std::string &word : words)
        argv.push_back(const_cast<char *>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, output, 2);
    pid_t child = -1;
    const int error = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return fail(error, words[0] + " could not be run: " + std::strerror(error));
    return child;
}

// False: the time is over.
bool read_until_end(int fd, std::chrono::steady_clock::time_point end, std::string &output) {
    std::array<char, 4096> buffer{};
    while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            end - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return false;
        pollfd ready{fd, POLLIN, 0};
        if (poll(&ready, 1, static_cast<int>(left.count())) <= 0)
            continue;
        const ssize_t got = read(fd, buffer.data(), buffer.size());
        if (got <= 0)
            return true;
        // What is too much is read all the same, so that the program need not wait.
        if (output.size() < kOutputMost)
            output.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

} // namespace

Result<Ran> run_program(const std::vector<std::string> &words, std::chrono::milliseconds deadline) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
        return fail(errno, std::string("no pipe could be made: ") + std::strerror(errno));
    const UniqueFd reading(ends[0]);
    Result<pid_t> child = fail(EIO, "");
    {
        const UniqueFd writing(ends[1]);
        child = spawn(words, writing.get());
    }
    if (!child)
        return tl::unexpected<Error>(child.error());
    Ran ran;
    const bool ended =
        read_until_end(reading.get(), std::chrono::steady_clock::now() + deadline, ran.output);
    if (!ended)
        kill(*child, SIGKILL);
    int status = 0;
    while (waitpid(*child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!ended)
        return fail(ETIMEDOUT, words[0] + " did not end in time");
    ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ran;
}

} // namespace tidemark::cli
