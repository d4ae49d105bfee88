// SPDX-License-Identifier: GPL-2.0-or-later
//
// The threads that wait for faults, and which of them do.
//
// The kernel tells every thread that reads the userfaultfd of every fault. Measured here, waking one
// that has nothing to do costs the fault 9 us, and an answer from another CPU than the faulting
// thread's costs more than that. So as a rule one handler waits, the leader, and each is pinned to
// a CPU of its own: the leader is the one on the CPU where the faults come from.
//
//   one:  the leader reads. A quarter of the last kPeriod faults had to wait for it -> all;
//         faults come from another CPU -> its handler leads
//   all:  every handler reads. Hardly ever two of them are at work at once -> one
//
// A handler whose turn is over learns it after its next fault.
#include "engine/backend.h"

#include "sys/thread.h"

#include <algorithm>
#include <cerrno>

namespace tidemark {

namespace {
constexpr std::uint32_t kPeriod = 64; // faults between two looks
// A read that returns as soon as this found its fault waiting.
constexpr auto kNoWait = std::chrono::microseconds(2);
} // namespace

void Backend::handler_main(Loader &loader, std::uint32_t number) {
    // With fewer handlers than CPUs the scheduler places them better than we could.
    const bool pinned = handlers_ >= allowed_cpus() && pin_to_cpu(number);
    std::array<FaultMessage, 16> messages;
    while (wait_turn(number)) {
        const auto before = Clock::now();
        const std::size_t count = memory_->read_faults(messages);
        if (count == 0)
            return;
        const auto now = Clock::now();
        const bool alone = serving_.fetch_add(1, std::memory_order_relaxed) == 0;
        for (std::size_t i = 0; i < count; ++i) {
            // Nothing of ours reads a hole of S: a page would be lost without a trace.
            TIDEMARK_CHECK(!messages[i].in_shadow);
            serve({messages[i].page, messages[i].thread_id, now}, loader);
        }
        serving_.fetch_sub(1, std::memory_order_relaxed);
        note_turn(count, !alone || count > 1 || now - before < kNoWait,
                  pinned ? messages[0].thread_id : 0);
    }
}

// False when it is time to stop.
bool Backend::wait_turn(std::uint32_t number) {
    MutexLock lock(mutex_);
    while (!stopping_ && !turns_.all && turns_.leader != number)
        turn_.wait(mutex_);
    return !stopping_;
}

// crowded: faults came while others were being served. thread_id: of the last one, if the CPU it came
// from matters.
void Backend::note_turn(std::size_t faults, bool crowded, std::int32_t thread_id) {
    bool look = false;
    {
        MutexLock lock(mutex_);
        turns_.seen += static_cast<std::uint32_t>(faults);
        turns_.crowded += crowded ? 1 : 0;
        if (turns_.seen < kPeriod)
            return;
        const bool all =
            turns_.all ? turns_.crowded >= kPeriod / 16 : turns_.crowded >= kPeriod / 4;
        look = !all && thread_id > 0;
        turns_.seen = turns_.crowded = 0;
        if (all != turns_.all) {
            turns_.all = all;
            turn_.notify_all();
        }
    }
    const int cpu = look ? cpu_of_thread(thread_id) : -1;
    if (cpu < 0)
        return;
    MutexLock lock(mutex_);
    turns_.leader = static_cast<std::uint32_t>(cpu) % handlers_;
    turn_.notify_all();
}

void Backend::parked_main(Loader &loader) {
    for (;;) {
        Fault fault;
        {
            MutexLock lock(mutex_);
            auto next = next_parked();
            while (!stopping_ && next == parked_.end()) {
                parked_work_.wait_for(mutex_, kRegionWait);
                next = next_parked();
            }
            if (stopping_)
                return;
            fault = *next;
            parked_.erase(next);
        }
        serve(fault, loader);
    }
}

void Backend::park(Fault fault, std::uint32_t need) {
    ++counters_.faults_parked;
    fault.need = need;
    parked_.push_back(fault);
    work_.notify_one();
    parked_work_.notify_one();
}

// The oldest one there is DRAM for. Whoever waits for much DRAM for long gets by with less.
std::deque<Fault>::iterator Backend::next_parked() {
    const auto now = Clock::now();
    return std::find_if(
        parked_.begin(), parked_.end(), [&](const Fault &fault) TIDEMARK_REQUIRES(mutex_) {
            return free_pages() >= (now - fault.since < kRegionWait ? fault.need : 1);
        });
}

} // namespace tidemark
