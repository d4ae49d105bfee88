// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading on: the next window of a stride or of a known order is read while the guest uses the present one.
//
//    a fault          window 1 is read, its page first, and window 2 with it
//    window 2         is mapped as it comes, but for its first page, the mark, which waits in S
//    the guest comes to the mark (a copy from S, or it waits for its read): window 3 is read, with a mark of its own
//
// So the disk has work while the guest has pages, and a guest that goes elsewhere has at most one window read for
// nothing. Memory in order is not read like this: it comes in 2 MiB (ahead.cc).
//
// Windows that no mark was left of (no DRAM, no loader, all of it in DRAM already) end the chain: the next fault begins
// another. Part of Backend in all but the file.
#pragma once

#include "engine/backend.h"

namespace tidemark {

class ReadOn {
  public:
    // The window up to course.last is full.
    static void want(Backend &b, const Course &course) TIDEMARK_REQUIRES(b.mutex_);
    // A fault. True if it came to a mark: streams and successors know of its window then, and the next is wanted.
    static bool came_to_mark(Backend &b, const Fault &fault) TIDEMARK_REQUIRES(b.mutex_);
    // By the service thread: reads what is wanted, if a demand read can be spared.
    static void start(Backend &b);
    // Part of such a read is in.
    static void land(Backend &b, Demand &demand, Loader::Items items);

  private:
    static bool plan(Backend &b, const Course &course, Loader &loader) TIDEMARK_REQUIRES(b.mutex_);
};

} // namespace tidemark
