// SPDX-License-Identifier: GPL-2.0-or-later
//
// A noisy neighbour: another process that keeps one CPU busy copying memory and the disk busy with random
// reads, as another guest on the same host would.
#pragma once

#include <string>
#include <sys/types.h>

namespace tidemark::perf {

// Runs from the end of the constructor to the destructor. The process is this program, started anew, so
// that it shares no memory with this one.
class Neighbour {
  public:
    // group: the cgroup.procs file of the cgroup it is to run in, so that what it needs is not charged to the
    // side that is measured; empty to stay in this one.
    Neighbour(const std::string &folder, const std::string &group);
    ~Neighbour();
    Neighbour(const Neighbour &) = delete;
    Neighbour &operator=(const Neighbour &) = delete;

    // What the program does when its first argument is this.
    static constexpr const char *kArgument = "--neighbour";
    [[noreturn]] static void be(const std::string &folder, const std::string &group);

  private:
    pid_t pid_ = -1;
};

} // namespace tidemark::perf
