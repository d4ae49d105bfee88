// SPDX-License-Identifier: GPL-2.0-or-later
//
// Engine threads and their signals.
#include "sys/thread.h"

#include <catch2/catch_test_macros.hpp>

using namespace tidemark;

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
