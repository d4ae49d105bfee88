// SPDX-License-Identifier: GPL-2.0-or-later
//
// The two threads that serve faults.
//
//    service thread  takes faults as they come; as many reads are under way as there are loaders
//    parked server   takes those that had to wait for DRAM, one at a time
//
// One thread for all faults: the kernel tells every thread that reads a userfaultfd of every fault, and
// waking one that has nothing to do costs the fault 9 us (measured). Its reads and the faults come in by one
// system call, so a busy service thread makes fewer calls per fault, not more. It is not kept to a CPU: the
// scheduler moves it to where its wake-ups come from, which is the CPU of the faults or of the disk.
#include "engine/read_on.h"

#include <algorithm>

namespace tidemark {

void Backend::service_main() {
    std::array<FaultMessage, 16> messages;
    std::deque<Fault> backlog; // more came at once than there are loaders for
    for (;;) {
        Demand *free = free_demand();
        const bool room = free != nullptr && backlog.empty();
        const ServiceQueue::Event event =
            service_->wait(room ? std::span(messages) : std::span<FaultMessage>());
        if (event.request != nullptr)
            demand_read(*event.request);
        else if (event.faults == 0)
            return;
        const auto now = Clock::now();
        for (std::size_t i = 0; i < event.faults; ++i) {
            // Nothing of ours reads a hole of S: a page would be lost without a trace.
            TIDEMARK_CHECK(!messages[i].in_shadow);
            backlog.push_back({messages[i].page, messages[i].thread_id, now, messages[i].write});
        }
        while (!backlog.empty() && (free = free_demand()) != nullptr) {
            free->fault = backlog.front();
            backlog.pop_front();
            if (serve(free->fault, *free->loader))
                start_demand(*free);
            ReadOn::start(*this);
        }
    }
}

Demand *Backend::free_demand() {
    const auto free = std::find_if(demands_.begin(), demands_.end(),
                                   [](const Demand &demand) { return demand.pending == 0; });
    return free == demands_.end() ? nullptr : &*free;
}

void Backend::start_demand(Demand &demand) {
    const std::span<IoRequest> requests = demand.loader->requests(true);
    demand.pending = requests.size();
    for (IoRequest &request : requests) {
        request.tag = reinterpret_cast<std::uint64_t>(&demand);
        service_->submit(&request);
    }
}

void Backend::demand_read(IoRequest &request) {
    Demand &demand = *reinterpret_cast<Demand *>(request.tag);
    const Loader::Items items = demand.loader->settle(request);
    if (demand.reads_on)
        ReadOn::land(*this, demand, items);
    else
        land(*demand.loader, items.first, items.count, &demand.fault, EnterReason::unasked);
    if (--demand.pending == 0) {
        demand.reads_on = false;
        --demands_pending_;
    }
    deliver_events();
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
        if (serve(fault, loader)) {
            execute_load(&fault, loader, EnterReason::unasked);
            --demands_pending_;
        }
        deliver_events();
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
