// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/screen.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace tidemark::cli {
namespace {

constexpr const char *kEnter = "\x1b[?1049h\x1b[?25l"; // alternate screen, no cursor
constexpr const char *kLeave = "\x1b[?25h\x1b[?1049l";

void put(const std::string &text) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = write(STDOUT_FILENO, text.data() + done, text.size() - done);
        if (n < 0 && errno != EINTR)
            return; // the terminal is gone; SIGHUP ends us
        done += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
}

std::string key_of(const std::string &bytes) {
    struct Sequence {
        const char *bytes, *name;
    };
    static constexpr Sequence kSequences[] = {
        {"\x1b[A", "up"},    {"\x1b[B", "down"}, {"\x1bOA", "up"},       {"\x1bOB", "down"},
        {"\x1b[H", "home"},  {"\x1b[F", "end"},  {"\x1b[5~", "page-up"}, {"\x1b[6~", "page-down"},
        {"\x1b[1~", "home"}, {"\x1b[4~", "end"}};
    for (const Sequence &sequence : kSequences) {
        if (bytes == sequence.bytes)
            return sequence.name;
    }
    return bytes.substr(0, 1);
}

} // namespace

Result<Screen> Screen::open() {
    termios before{};
    if (isatty(STDOUT_FILENO) == 0 || tcgetattr(STDIN_FILENO, &before) != 0)
        return fail(ENOTTY, "top needs a terminal; --once prints one frame without");
    sigset_t caught;
    sigemptyset(&caught);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH})
        sigaddset(&caught, signal);
    sigprocmask(SIG_BLOCK, &caught, nullptr);
    UniqueFd signals(signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals.valid())
        return fail(errno, std::string("signals can't be waited for: ") + std::strerror(errno));
    termios raw = before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put(kEnter);
    Screen screen(std::move(signals), before);
    screen.measure();
    return screen;
}

Screen::~Screen() {
    if (!signals_.valid())
        return; // moved from
    put(kLeave);
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void Screen::measure() {
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        columns_ = size.ws_col;
        rows_ = size.ws_row;
    }
}

void Screen::draw(const std::vector<std::string> &lines) const {
    // One write a frame, and each line ends by clearing what was behind it: nothing flickers.
    std::string out = "\x1b[H";
    for (std::size_t i = 0; i < lines.size() && i < rows_; i++)
        out.append(i == 0 ? "" : "\r\n").append(lines[i]).append("\x1b[K");
    put(out + "\x1b[J");
}

Screen::Input Screen::wait(std::chrono::milliseconds time) {
    std::array<pollfd, 2> ready{{{STDIN_FILENO, POLLIN, 0}, {signals_.get(), POLLIN, 0}}};
    if (poll(ready.data(), ready.size(), static_cast<int>(time.count())) <= 0)
        return {};
    signalfd_siginfo signal{};
    if (ready[1].revents != 0 && read(signals_.get(), &signal, sizeof(signal)) > 0) {
        if (signal.ssi_signo != SIGWINCH)
            return {Event::quit, ""};
        measure();
        return {Event::resized, ""};
    }
    if (ready[0].revents == 0)
        return {};
    std::array<char, 16> bytes{};
    const ssize_t n = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (n <= 0)
        return {Event::quit, ""};
    return {Event::key, key_of(std::string(bytes.data(), static_cast<std::size_t>(n)))};
}

} // namespace tidemark::cli
