// SPDX-License-Identifier: GPL-2.0-or-later
//
// The terminal as `tidemark top` needs it: a screen of its own, keys one by one, and its size. Whatever ends the
// program by a signal that can be caught, the terminal is as it was.
#pragma once

#include "base/result.h"
#include "sys/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <termios.h>
#include <vector>

namespace tidemark::cli {

class Screen {
  public:
    enum class Event { none, key, resized, quit };
    struct Input {
        Event event = Event::none;
        std::string key; // one character, or "up", "down", "page-up", "page-down", "home", "end"
    };

    // ENOTTY: standard input or output is no terminal.
    static Result<Screen> open();
    Screen(Screen &&) noexcept = default;
    Screen &operator=(Screen &&) = delete;
    ~Screen();

    std::size_t columns() const { return columns_; }
    std::size_t rows() const { return rows_; }
    // Shows these lines; what was below them goes.
    void draw(const std::vector<std::string> &lines) const;
    // Waits for a key, a new size or the end; none: the time is over.
    Input wait(std::chrono::milliseconds time);

  private:
    Screen(UniqueFd signals, const termios &before)
        : signals_(std::move(signals)), before_(before) {}
    void measure();

    UniqueFd signals_;
    termios before_;
    std::size_t columns_ = 80, rows_ = 24;
};

} // namespace tidemark::cli
