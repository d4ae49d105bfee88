// SPDX-License-Identifier: GPL-2.0-or-later
//
// Postcopy: the guest runs here while some of its pages are still where it came from.
//
//    begin(), mark()        what has not come is dropped here and gets the state remote
//    fault -> want() -> tell()   the caller asks the other host for what take_wanted() names
//    deliver()              remote -> filling -> resident or staged
//    end()
//
// Where a page that has come goes: into R if an access waits for it, or while DRAM is plentiful; else into S, on
// probation like any page that leaves, and from there to a tier. Zeros that nobody waits for take no DRAM at all.
// A page is charged before its bytes are put anywhere, so the limit holds; whoever delivers waits for DRAM as a
// fault does, but leaves faults the reserve.
//
// A page may come twice, or after the guest has given it up: only a page in state remote takes bytes, so that
// later ones never cover what the guest has written since.
#include "engine/postcopy.h"

#include <algorithm>
#include <cerrno>

namespace tidemark {

namespace {
constexpr auto kRoomLook = std::chrono::milliseconds(5);
constexpr auto kRoomWait = std::chrono::milliseconds(200); // then the caller is to come again
constexpr std::uint32_t kMarkBatch = 512;
constexpr std::uint32_t kTableSweep = 65536; // entries looked at per hold of the lock
} // namespace

Result<void> Postcopy::begin(Backend &b, std::function<void()> wanted) {
    MutexLock lock(b.mutex_);
    if (!b.memory_)
        return fail(ENOTCONN, "memory block '" + b.id_ + "' has no memory yet");
    if (b.remote_.wanted)
        return fail(EALREADY, "memory block '" + b.id_ + "' takes pages over already");
    // A block under no pressure is not registered: an access to what is not there yet would read zeros.
    if (auto armed = b.arm(); !armed)
        return armed;
    b.remote_.wanted = std::make_shared<const std::function<void()>>(std::move(wanted));
    return {};
}

bool Postcopy::mark(Backend &b, PageRun run) {
    {
        MutexLock lock(b.mutex_);
        if (!b.remote_.wanted)
            return false;
    }
    while (run.count != 0) {
        const std::uint32_t count = std::min(run.count, kMarkBatch);
        b.discard_part({run.first, count}, PageState::remote);
        run = {run.first.next(count), run.count - count};
    }
    return true;
}

// True: somebody has to be told. A thread that a signal interrupts faults again for the same page: it waits
// once.
bool Postcopy::want(Backend &b, const Fault &fault) {
    for (const RemotePages::Wait &wait : b.remote_.waits)
        if (wait.fault.page == fault.page && wait.fault.thread_id == fault.thread_id)
            return false;
    ++b.counters_.faults;
    ++b.counters_.faults_remote;
    b.remote_.waits.push_back({fault});
    b.room_.notify_all(); // its bytes may be here, waiting for DRAM, which a fault gets sooner
    return true;
}

void Postcopy::tell(Backend &b) {
    std::shared_ptr<const std::function<void()>> wanted;
    {
        MutexLock lock(b.mutex_);
        wanted = b.remote_.wanted;
    }
    if (wanted && *wanted)
        (*wanted)();
}

std::vector<WantedPage> Postcopy::take_wanted(Backend &b, std::size_t most) {
    std::vector<WantedPage> out;
    MutexLock lock(b.mutex_);
    for (RemotePages::Wait &wait : b.remote_.waits) {
        if (wait.told || out.size() == most)
            continue;
        wait.told = true;
        out.push_back({wait.fault.page, wait.fault.thread_id});
    }
    return out;
}

// The page is remote no more: who waits for it is served anew.
void Postcopy::release_waits(Backend &b, PageIndex page) {
    std::erase_if(b.remote_.waits, [&](const RemotePages::Wait &wait) TIDEMARK_REQUIRES(b.mutex_) {
        if (wait.fault.page != page)
            return false;
        b.parked_.push_back(wait.fault);
        return true;
    });
    if (!b.parked_.empty())
        b.parked_work_.notify_one();
}

int Postcopy::deliver(Backend &b, PageIndex page, const std::byte *bytes) {
    std::optional<Delivery> plan;
    {
        MutexLock lock(b.mutex_);
        plan = plan_delivery(b, page, bytes == nullptr);
    }
    if (!plan)
        return EAGAIN;
    if (plan->done)
        return 0;
    const PageRun run{page, 1};
    const bool staged = plan->to_shadow && b.memory_->copy_shadow(run, bytes).done == 1;
    if (!staged)
        b.map_in(run, bytes);
    const auto now = Clock::now();
    MutexLock lock(b.mutex_);
    ++b.counters_.delivered_pages;
    for (const Fault &fault : plan->waits)
        b.counters_.remote_wait_ns += static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(now - fault.since).count());
    if (plan->to_shadow)
        b.table_[page].clear(page_flags::shadow_reading);
    if (staged) {
        b.finish(page, PageState::staged, b.coarse_now());
        b.staged_queue_.push_back(page);
    } else {
        b.finish_resident(page,
                          plan->waits.empty() ? EnterReason::unasked : EnterReason::refault_stored,
                          b.coarse_now());
    }
    return 0;
}

// nullopt: there was no DRAM in time.
std::optional<Postcopy::Delivery> Postcopy::plan_delivery(Backend &b, PageIndex page, bool zero) {
    const auto until = Clock::now() + kRoomWait;
    Delivery plan;
    for (;;) {
        // Looked at anew after each wait: the lock was given up.
        PageEntry &entry = b.table_[page];
        plan.done = entry.state != PageState::remote;
        if (plan.done)
            return plan;
        const bool waited =
            std::any_of(b.remote_.waits.begin(), b.remote_.waits.end(),
                        [page](const RemotePages::Wait &wait) { return wait.fault.page == page; });
        if (zero && !waited) {
            ++b.counters_.delivered_pages;
            b.finish(page, PageState::untouched, b.coarse_now());
            plan.done = true;
            return plan;
        }
        if (b.charge(1, !waited)) {
            // S may still hold what is to be dropped there: then R, which is surely empty.
            plan.to_shadow = !waited && !zero && b.free_pages() < b.reserve_high_ &&
                             !entry.shadow_in_use() && !b.table_.region_of(page).shadow_huge;
            break;
        }
        if (b.stopping_ || Clock::now() >= until)
            return std::nullopt;
        ++b.remote_.delivering;
        b.room_.wait_for(b.mutex_, kRoomLook);
        --b.remote_.delivering;
    }
    // A fault from here on finds the page in transit, and finish() hands it on.
    std::erase_if(b.remote_.waits, [&](const RemotePages::Wait &wait) {
        if (wait.fault.page != page)
            return false;
        plan.waits.push_back(wait.fault);
        return true;
    });
    b.table_.set_state(page, PageState::filling);
    if (plan.to_shadow) // until the page is there, nobody else may think its place in S free
        b.table_[page].set(page_flags::shadow_reading);
    return plan;
}

std::uint32_t Postcopy::end(Backend &b) {
    std::uint32_t missing = 0;
    for (std::uint32_t next = 0; next < b.pages_;) {
        MutexLock lock(b.mutex_);
        const std::uint16_t now = b.coarse_now();
        for (std::uint32_t i = 0; i < kTableSweep && next < b.pages_; ++i, ++next) {
            const PageIndex page{next};
            if (b.table_[page].state != PageState::remote)
                continue;
            ++missing;
            b.finish(page, PageState::untouched, now);
            release_waits(b, page);
        }
    }
    MutexLock lock(b.mutex_);
    b.remote_.wanted.reset();
    return missing;
}

bool Postcopy::thread_waits(Backend &b, std::int32_t thread_id) {
    MutexLock lock(b.mutex_);
    return std::any_of(
        b.remote_.waits.begin(), b.remote_.waits.end(),
        [thread_id](const RemotePages::Wait &wait) { return wait.fault.thread_id == thread_id; });
}

} // namespace tidemark
