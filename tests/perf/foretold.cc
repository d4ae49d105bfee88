// SPDX-License-Identifier: GPL-2.0-or-later
//
// Workloads that can be foretold: an order that comes again, working sets that come back, a job that was
// recorded, a guest that does nothing. The first time is for whoever learns from it, and is not in the figure.
#include "workloads.h"

#include "content.h"
#include "counters.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <unistd.h>

namespace tidemark::perf {

namespace {

constexpr std::size_t kSets = 3;         // of phases
constexpr std::uint64_t kFromPeriod = 3; // what phases counts
constexpr std::size_t kShareOfSet =
    5; // a working set is a fifth of the memory: it fits in a quarter
constexpr std::size_t kZeroEvery = 16;       // pages of idle-reclaim, see there
constexpr std::size_t kJobEvicted = 2 << 12; // pages, 32 MiB
// Of the pages of returning. A visit comes a cold age after the page has become cold, give or take a slice.
constexpr std::size_t kHotShare = 8, kRareShare = 2, kSlices = 16;
constexpr std::uint64_t kWaited = 3000; // ns: no access of memory that is there takes so long

// The number-th fifth of the memory's extents, scattered over all of it.
std::vector<std::size_t> extents_of_set(std::uint64_t seed, std::size_t pages, std::size_t number) {
    const std::vector<std::size_t> all = shuffled(seed, pages / kExtentPages);
    const std::size_t count = std::max<std::size_t>(all.size() / kShareOfSet, 1);
    const auto set = std::span(all).subspan(number * count, count);
    return {set.begin(), set.end()};
}

// Slice after slice, and the pages of each in another order every time.
class SliceOrder final : public Order {
  public:
    SliceOrder(std::uint64_t seed, std::size_t first, std::size_t count)
        : random_(seed), pages_(shuffled(seed, count)), first_(first),
          slice_(std::max<std::size_t>(count / kSlices, 1)) {}
    std::size_t next() override {
        const std::size_t at = at_++ % pages_.size();
        if (at % slice_ == 0)
            shuffle(std::span(pages_).subspan(at, std::min(slice_, pages_.size() - at)), random_);
        return first_ + pages_[at];
    }

  private:
    Random random_;
    std::vector<std::size_t> pages_;
    std::size_t first_, slice_, at_ = 0;
};

} // namespace

// Twice what fits in DRAM. Two passes are not timed: of the first, nobody sees what happens to be in DRAM still.
void Workloads::repeated(Result &result) {
    const std::size_t count = std::min(settings_.pages, settings_.dram_pages * 2);
    RepeatedOrder order(shuffled(settings_.seed * 11 + 6, count));
    Result learning;
    deadline_ = Clock::time_point::max();
    random(learning, order, Access::kRead, 2 * count);
    const Clock::time_point start = restart_deadline();
    random(result, order, Access::kRead, ops_of("repeated", count));
    result.seconds = seconds_between(start, Clock::now());
    result.bad += learning.bad;
}

// Three working sets in turn, each of which fits in DRAM, but no two of them. A visit is as much work each time,
// so it lasts longer the more of it waits for the disk.
void Workloads::phases(Result &result) {
    std::vector<ExtentOrder> sets;
    for (std::size_t set = 0; set < kSets; ++set)
        sets.emplace_back(settings_.seed * 11 + 7 + set,
                          extents_of_set(settings_.seed * 11 + 7, settings_.pages, set));
    const std::uint64_t visit = ops_of("phases", settings_.pages / kShareOfSet * 2);
    deadline_ = Clock::time_point::max();
    JsonObject periods;
    for (std::uint64_t period = 1; period <= settings_.periods; ++period) {
        if (period == kFromPeriod)
            side_.begin(); // the engine's counters are of what is timed, too
        Result one;
        const Clock::time_point start = Clock::now();
        for (ExtentOrder &set : sets)
            random(one, set, Access::kWrite, visit);
        const double seconds = seconds_between(start, Clock::now());
        periods.number(std::to_string(period), one.latency.mean_ns() / 1e3);
        result.bad += one.bad;
        if (period < kFromPeriod)
            continue;
        result.latency.add(one.latency);
        result.seconds += seconds;
    }
    result.extra.object("mean_us_by_period", periods);
    result.extra.number("visit", visit);
}

// A job whose memory is not in DRAM when it starts: once recorded, once as it is, once after what was recorded
// has been brought back, which is in its time.
void Workloads::job(Result &result) {
    const std::uint64_t seed = settings_.seed * 11 + 8;
    const RepeatedOrder order(job_order(seed, extents_of_set(seed, settings_.pages, 0)));
    // Something else is what was used last; a little may stay in DRAM when everything is thrown out.
    const std::vector<std::size_t> other =
        job_order(seed, extents_of_set(seed, settings_.pages, 1));
    const std::string file =
        settings_.folder + "/tidemark-bench-job-" + std::to_string(getpid()) + ".tmws";
    deadline_ = Clock::time_point::max();
    const auto throw_out = [&](Result &into) {
        for (const std::size_t page : std::span(other).first(std::min(other.size(), kJobEvicted)))
            step(into, page, Access::kRead, Check::kStamp);
        side_.evict_all();
    };
    const auto run_twice = [&](Result &into) {
        RepeatedOrder again = order;
        random(into, again, Access::kWrite, order.size() * 2);
    };
    Result recorded;
    throw_out(recorded);
    side_.record();
    run_twice(recorded);
    side_.save(file);

    Result plain;
    throw_out(recorded);
    const FaultCounts before = side_.faults();
    const Clock::time_point plain_start = Clock::now();
    run_twice(plain);
    result.extra.number("plain_seconds", seconds_between(plain_start, Clock::now()));
    result.extra.number("plain_faults_stored", side_.faults().stored - before.stored);

    throw_out(recorded);
    side_.begin();
    const Clock::time_point start = Clock::now();
    side_.replay(file);
    result.extra.number("replay_seconds", seconds_between(start, Clock::now()));
    run_twice(result);
    result.seconds = seconds_between(start, Clock::now());
    result.bad += recorded.bad + plain.bad;
    std::remove(file.c_str());
}

// All of the memory touched once: an eighth of it holds zeros, an eighth is freed and said to be so, the rest
// holds data with a page of zeros here and there. Then nothing is touched for twice the cold age.
void Workloads::idle_reclaim(Result &result) {
    const std::size_t eighth = settings_.pages / 8;
    const std::size_t data = settings_.pages - 2 * eighth;
    const std::size_t freed = settings_.pages - eighth; // from here on
    const auto holds_zeros = [&](std::size_t page) {
        return page >= data || page % kZeroEvery == kZeroEvery - 1;
    };
    for (std::size_t page = freed; page < settings_.pages; ++page)
        write_first(words(page), page);
    side_.discard(freed, settings_.pages - freed);
    std::fill(versions_.begin() + static_cast<std::ptrdiff_t>(freed), versions_.end(), 0);
    for (std::size_t page = 0; page < freed; ++page) {
        if (holds_zeros(page))
            std::memset(words(page), 0, kPageBytes);
        else
            write_first(words(page), page);
        versions_[page] = holds_zeros(page) ? 0 : 1;
    }
    side_.begin();
    const Clock::time_point start = Clock::now();
    std::this_thread::sleep_for(std::chrono::seconds(2 * settings_.cold_age));
    const std::uint64_t in_dram = side_.dram_used();
    result.seconds = seconds_between(start, Clock::now());

    const std::vector<bool> mapped = mapped_pages(words(0), settings_.pages);
    std::uint64_t zeros_kept = 0;
    for (std::size_t page = 0; page < mapped.size(); ++page)
        if (holds_zeros(page) && !mapped[page] && !side_.known_zero(page))
            ++zeros_kept;
    result.extra.number("held_bytes", freed * kPageBytes);
    result.extra.number("in_dram_bytes", in_dram);
    // Out of the guest's sight, and yet somebody keeps 4096 zeros for it.
    result.extra.number("zero_pages_kept", zeros_kept);
    result.extra.number("cold_age", settings_.cold_age);
}

// Half of the memory is visited once in two cold ages, by the clock and in no order: each page comes back when it has
// just left. In between an eighth of it is in use, as fast as it goes; the rest is never touched again.
void Workloads::returning(Result &result) {
    const std::size_t hot_pages = settings_.pages / kHotShare,
                      rare_pages = settings_.pages / kRareShare;
    UniformOrder hot(settings_.seed * 11 + 9, hot_pages);
    SliceOrder rare(settings_.seed * 11 + 10, hot_pages, rare_pages);
    const double period = 2.0 * settings_.cold_age;
    const auto seconds = static_cast<double>(settings_.returns) * period;
    const double rate = static_cast<double>(rare_pages) / period;
    Result in_use;
    side_.begin();
    const Clock::time_point start = Clock::now();
    double visited = 0, now = 0;
    std::uint64_t waited_ns = 0;
    const auto visit = [&](Result &into, Order &order) {
        const std::uint64_t ns = step(into, order.next(), Access::kWrite, Check::kStamp);
        waited_ns += ns >= kWaited ? ns : 0;
    };
    for (; now < seconds; now = seconds_between(start, Clock::now())) {
        for (; visited < now * rate; ++visited)
            visit(result, rare);
        for (int i = 0; i < 64; ++i)
            visit(in_use, hot);
    }
    result.seconds = now;
    result.bad += in_use.bad;
    result.extra.number("in_use_per_second", static_cast<double>(in_use.latency.count()) / now);
    result.extra.number("waited_seconds", static_cast<double>(waited_ns) * 1e-9);
    result.extra.number("in_dram_bytes", side_.dram_used());
    result.extra.number("cold_age", settings_.cold_age);
}

} // namespace tidemark::perf
