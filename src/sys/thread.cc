// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/thread.h"

#include <array>
#include <sched.h>
#include <unistd.h>

namespace tidemark {
namespace {

// Room for 8192 CPUs; the kernel refuses a set that is smaller than the machine could have.
using CpuSet = std::array<cpu_set_t, 8>;

// The number of CPUs in the set, 0 if it can't be told.
unsigned read_allowed(CpuSet &set) {
    if (sched_getaffinity(getpid(), sizeof(set), set.data()) != 0)
        return 0;
    return static_cast<unsigned>(CPU_COUNT_S(sizeof(set), set.data()));
}

} // namespace

unsigned allowed_cpus() {
    CpuSet set{};
    const unsigned count = read_allowed(set);
    return count == 0 ? 1 : count;
}

bool pin_to_cpu(unsigned n) {
    CpuSet allowed{};
    const unsigned count = read_allowed(allowed);
    if (count == 0)
        return false;
    unsigned left = n % count;
    for (std::size_t cpu = 0; cpu < sizeof(allowed) * 8; ++cpu) {
        if (!CPU_ISSET_S(cpu, sizeof(allowed), allowed.data()) || left-- > 0)
            continue;
        CpuSet only{};
        CPU_SET_S(cpu, sizeof(only), only.data());
        return sched_setaffinity(0, sizeof(only), only.data()) == 0; // 0: the calling thread
    }
    return false;
}

} // namespace tidemark
