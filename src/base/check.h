// SPDX-License-Identifier: GPL-2.0-or-later
//
// TIDEMARK_CHECK: an invariant of ours, checked in every build. The engine holds guest RAM, so a
// broken invariant stops the process: a stop is better than a wrong page.
#pragma once

#include <cstdio>
#include <cstdlib>

#define TIDEMARK_CHECK(condition)                                                                  \
    do {                                                                                           \
        if (!(condition)) [[unlikely]]                                                             \
            ::tidemark::check_failed(#condition, __FILE__, __LINE__);                              \
    } while (false)

namespace tidemark {

[[noreturn]] inline void check_failed(const char *condition, const char *file, int line) {
    std::fprintf(stderr, "tidemark: internal error: '%s' does not hold (%s:%d)\n", condition, file,
                 line);
    std::abort();
}

} // namespace tidemark
