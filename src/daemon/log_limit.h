// SPDX-License-Identifier: GPL-2.0-or-later
//
// For sentences that a peer could otherwise have written to the log as often as it likes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace tidemark::daemon {

class LogLimit {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::size_t kKeysMost = 1024;
    static constexpr std::chrono::seconds kPause{60};

    // How many of this key were not logged since the last one that was; nothing: don't log this one.
    std::optional<std::uint64_t> pass(const std::string &key,
                                      Clock::time_point now = Clock::now()) {
        // A flood of keys may cost a few sentences twice, but not memory.
        if (keys_.size() >= kKeysMost && !keys_.contains(key))
            keys_.clear();
        Key &of = keys_[key];
        if (of.logged != Clock::time_point{} && now - of.logged < kPause) {
            ++of.left_out;
            return std::nullopt;
        }
        of.logged = now;
        return std::exchange(of.left_out, 0);
    }

  private:
    struct Key {
        Clock::time_point logged;
        std::uint64_t left_out = 0;
    };
    std::map<std::string, Key> keys_;
};

} // namespace tidemark::daemon
