// SPDX-License-Identifier: GPL-2.0-or-later
//
// Engine threads: their signals, and the CPU they keep to.
#include "sys/thread.h"

#include <catch2/catch_test_macros.hpp>
#include <sched.h>
#include <set>

using namespace tidemark;

namespace {

int cpus_of_this_thread() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;
}

} // namespace

TEST_CASE("an engine thread blocks every signal but those of its own mistakes") {
    sigset_t before, inside, after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    {
        const Thread thread("test", [&] { pthread_sigmask(SIG_SETMASK, nullptr, &inside); });
    }
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    CHECK(sigismember(&inside, SIGTERM) == 1);
    CHECK(sigismember(&inside, SIGUSR1) == 1);
    CHECK(sigismember(&inside, SIGBUS) == 0);
    CHECK(sigismember(&inside, SIGSEGV) == 0);
    CHECK(sigismember(&after, SIGTERM) == sigismember(&before, SIGTERM));
}

TEST_CASE("each allowed CPU can be kept to, also by a thread that kept to another before") {
    const unsigned count = allowed_cpus();
    REQUIRE(count >= 1);
    CHECK(static_cast<int>(count) == cpus_of_this_thread());
    std::set<int> seen;
    bool pinned = true;
    int widest = 0;
    {
        const Thread thread("test", [&] {
            for (unsigned n = 0; n < count && pinned; ++n) {
                pinned = pin_to_cpu(n);
                seen.insert(sched_getcpu());
                widest = std::max(widest, cpus_of_this_thread());
            }
            pinned = pinned && pin_to_cpu(count); // round again
        });
    }
    if (!pinned)
        SKIP("this sandbox denies sched_setaffinity()");
    CHECK(seen.size() == count);
    CHECK(widest == 1);
    // Nobody else was touched.
    CHECK(static_cast<int>(count) == cpus_of_this_thread());
    CHECK(allowed_cpus() == count);
}

TEST_CASE("where a thread runs is told in the numbers that pin_to_cpu() takes") {
    const unsigned count = allowed_cpus();
    bool pinned = true, told = true;
    {
        const Thread thread("a) name (b", [&] {
            for (unsigned n = 0; n < count && pinned; ++n) {
                pinned = pin_to_cpu(n);
                told = told && cpu_of_thread(gettid()) == static_cast<int>(n);
            }
        });
    }
    if (!pinned)
        SKIP("this sandbox denies sched_setaffinity()");
    CHECK(told);
    CHECK(cpu_of_thread(0x3fffffff) == -1); // there is no such thread
}
