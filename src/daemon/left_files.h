// SPDX-License-Identifier: GPL-2.0-or-later
//
// The hook removes a domain's file after its end (`release`), and tells nobody. If it could not run then, the file
// stays: its domain keeps its floor and its group, and every daemon that starts takes it in again. libvirt, which
// knows better, is asked about files whose QEMU has not been connected for a while.
#pragma once

#include <chrono>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <sys/types.h>

namespace tidemark::domain {
struct HostConfig;
}

namespace tidemark::daemon {

class Guests;

class LeftFiles : public std::enable_shared_from_this<LeftFiles> {
  public:
    using Clock = std::chrono::steady_clock;
    using Ended = std::set<std::string>;
    // Which of these domains do not run, and are not about to. The answer comes later, in the same thread, or never;
    // whoever is not in it may run.
    using Ask = std::function<void(std::vector<std::string> uuids, std::function<void(Ended)>)>;

    // after: a file is asked about when its QEMU was away for so long, and again after as long.
    LeftFiles(const domain::HostConfig &config, const Guests &guests,
              std::chrono::milliseconds after)
        : config_(config), guests_(guests), after_(after) {}

    void ask_with(Ask ask) { ask_ = std::move(ask); }
    void look(Clock::time_point now);

  private:
    // A hook that prepares the next start makes another file.
    struct File {
        dev_t device = 0;
        ino_t number = 0;
        std::time_t seconds = 0;
        long nanoseconds = 0;
        bool operator==(const File &) const = default;
    };
    struct Seen {
        File file;
        Clock::time_point since;
    };

    static bool stat(const std::string &path, File &file);
    bool may_run(const std::string &uuid) const;
    void remove(const std::string &uuid);

    const domain::HostConfig &config_;
    const Guests &guests_;
    const std::chrono::milliseconds after_;
    Ask ask_;
    std::map<std::string, Seen> seen_; // files without a QEMU
};

} // namespace tidemark::daemon
