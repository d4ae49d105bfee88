// SPDX-License-Identifier: GPL-2.0-or-later
//
// How userfaultfd's range ioctls are repeated until a run is done, and what their answers mean.
#pragma once

#include "sys/guest_memory.h"

#include <cerrno>
#include <linux/types.h>

namespace tidemark {

// Runs one of the range ioctls over a run. `call` gets the pages already done, issues the ioctl for
// the rest and returns its byte count field. The kernel answers a half done range with EAGAIN and
// the bytes it did, and tells what stopped it only when asked for the rest: a negative count.
template <typename Call> RunResult run_ioctl(std::uint32_t count, Call call) {
    RunResult result;
    while (result.done < count) {
        const __s64 moved = call(result.done);
        if (moved <= 0) {
            // 0 bytes and no error does not happen; EAGAIN lets the caller decide how often to ask.
            result.error = moved == 0 ? EAGAIN : static_cast<int>(-moved);
            break;
        }
        result.done += static_cast<std::uint32_t>(static_cast<std::size_t>(moved) / kPageSize);
    }
    return result;
}

// The byte count an ioctl reported. If the kernel refused the arguments it never wrote the field.
inline __s64 count_of(int rc, int error, __s64 field) {
    if (rc == 0 || field != 0)
        return field;
    return -error;
}

} // namespace tidemark
