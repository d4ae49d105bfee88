// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/thread.h"

#include "sys/unique_fd.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
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

int cpu_of_thread(int thread_id) {
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/stat", thread_id);
    const UniqueFd file(open(path.data(), O_RDONLY | O_CLOEXEC));
    std::array<char, 1024> text;
    const ssize_t length = file.valid() ? read(file.get(), text.data(), text.size() - 1) : -1;
    if (length <= 0)
        return -1;
    text[static_cast<std::size_t>(length)] = 0;
    // "id (name) state ...": the CPU is the 39th field; the name may hold anything, so from its end.
    const char *at = std::strrchr(text.data(), ')');
    for (int field = 2; at != nullptr && field < 39; ++field)
        at = std::strchr(at + 1, ' ');
    if (at == nullptr)
        return -1;
    const auto cpu = std::strtoul(at, nullptr, 10);
    CpuSet allowed{};
    if (read_allowed(allowed) == 0 || !CPU_ISSET_S(cpu, sizeof(allowed), allowed.data()))
        return -1;
    int before = 0;
    for (std::size_t other = 0; other < cpu; ++other)
        before += CPU_ISSET_S(other, sizeof(allowed), allowed.data()) ? 1 : 0;
    return before;
}

} // namespace tidemark
