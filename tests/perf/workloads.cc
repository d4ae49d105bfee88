// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads.h"

#include "content.h"
#include "neighbour.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdlib>
#include <pthread.h>
#include <thread>

namespace tidemark::perf {

namespace {

constexpr std::size_t kStride = 16;     // pages, 64 KiB: further than a swap cluster reaches
constexpr std::size_t kHugePages = 512; // 4 KiB pages in a huge page
constexpr unsigned kThreadsMost = 64;

std::uint64_t ns_between(std::chrono::steady_clock::time_point from,
                         std::chrono::steady_clock::time_point to) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

// Only those that visit pages at random can stop anywhere.
bool visits_all(const std::string &name) {
    return name == "fill" || name == "seq-read" || name == "seq-rw" || name == "scattered-verify" ||
           name == "clean-pass" || name == "final-check";
}

// The number in "threads-8"; 0 if the name is none of those.
unsigned threads_in(const std::string &name) {
    const std::string prefix = "threads-";
    if (name.rfind(prefix, 0) != 0 || name.size() > prefix.size() + 2 ||
        name.find_first_not_of("0123456789", prefix.size()) != std::string::npos)
        return 0;
    const int count = std::atoi(name.c_str() + prefix.size());
    return count >= 1 && count <= static_cast<int>(kThreadsMost) ? static_cast<unsigned>(count) : 0;
}

} // namespace

Workloads::Workloads(MemorySide &side, const Settings &settings)
    : side_(side), settings_(settings), versions_(settings.pages, 0) {}

// In the order in which they make sense: the hot set after the passes have left the memory cold, the
// check of everything when random work has scattered what is resident. The last two look into the
// engine, and say nothing about other sides.
const std::vector<std::string> &Workloads::names() {
    static const std::vector<std::string> all = {
        "fill",      "seq-read",  "seq-rw",           "strided",   "hot",
        "zipf-hot",  "idle",      "uniform-rmw",      "noisy-rmw", "zipf-rmw",
        "threads-2", "threads-8", "scattered-verify", "repeated",  "interleaved",
        "phases",    "job",       "idle-reclaim",     "returning", "fault-kinds",
        "clean-pass"};
    return all;
}

bool Workloads::known(const std::string &name) {
    return name == "final-check" || threads_in(name) != 0 ||
           std::find(names().begin(), names().end(), name) != names().end();
}

Result Workloads::run(const std::string &name) {
    Result result;
    const Clock::time_point start = restart_deadline();
    if (visits_all(name))
        deadline_ = Clock::time_point::max();
    all_checked_ = false;
    if (name == "fill") {
        fill(result);
    } else if (name == "seq-read") {
        pass(result, Access::kRead);
    } else if (name == "seq-rw") {
        pass(result, Access::kWrite);
    } else if (name == "scattered-verify" || name == "final-check") {
        pass(result, Access::kRead);
        all_checked_ = true;
    } else if (name == "strided") {
        strided(result);
    } else if (name == "uniform-rmw") {
        UniformOrder order(settings_.seed * 11 + 1, settings_.pages);
        random(result, order, Access::kWrite, ops_of(name, 30000));
    } else if (name == "noisy-rmw") {
        const Neighbour neighbour(settings_.folder, settings_.neighbour_group);
        UniformOrder order(settings_.seed * 11 + 5, settings_.pages);
        const Clock::time_point beside = Clock::now();
        random(result, order, Access::kWrite, ops_of(name, 30000));
        result.seconds = seconds_between(beside, Clock::now());
    } else if (name == "zipf-rmw") {
        ZipfOrder order(settings_.seed * 11 + 2, settings_.pages);
        random(result, order, Access::kWrite, ops_of(name, 200000));
    } else if (name == "hot") {
        hot(result);
    } else if (name == "zipf-hot") {
        zipf_hot(result);
    } else if (name == "repeated") {
        repeated(result);
    } else if (name == "phases") {
        phases(result);
    } else if (name == "job") {
        job(result);
    } else if (name == "idle-reclaim") {
        idle_reclaim(result);
    } else if (name == "returning") {
        returning(result);
    } else if (name == "interleaved") {
        InterleavedOrder order(settings_.pages, 4);
        random(result, order, Access::kRead, ops_of(name, settings_.pages));
    } else if (name == "idle") {
        idle(result);
    } else if (name == "fault-kinds") {
        fault_kinds(result);
    } else if (name == "clean-pass") {
        clean_pass(result);
    } else {
        with_threads(result, threads_in(name));
    }
    // Those with a preparation of their own have said how long the rest took.
    if (result.seconds == 0)
        result.seconds = seconds_between(start, Clock::now());
    return result;
}

std::uint64_t *Workloads::words(std::size_t page) const {
    return side_.words() + page * kPageWords;
}

std::uint64_t Workloads::ops_of(const std::string &name, std::uint64_t normal) const {
    const auto found = settings_.ops.find(name);
    return found == settings_.ops.end() ? normal : found->second;
}

// What comes from now on is timed.
Workloads::Clock::time_point Workloads::restart_deadline() {
    const Clock::time_point now = Clock::now();
    deadline_ = settings_.max_seconds > 0
                    ? now + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(settings_.max_seconds))
                    : Clock::time_point::max();
    return now;
}

bool Workloads::out_of_time(Result &result) const {
    result.capped = result.capped || Clock::now() >= deadline_;
    return result.capped;
}

std::uint64_t Workloads::step(Result &result, std::size_t page, Access access, Check check) {
    std::uint64_t *const at = words(page);
    std::uint32_t &version = versions_[page];
    const Clock::time_point start = Clock::now();
    bool good = check_stamp(at, page, version);
    if (access == Access::kWrite)
        write_next(at, page, version);
    // Or the compiler would move the access past the clock.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const Clock::time_point end = Clock::now();
    const std::uint64_t ns = ns_between(start, end);
    result.latency.record(ns);
    version += access == Access::kWrite ? 1 : 0;
    if (check == Check::kWholePage)
        good = good && check_page(at, page, version);
    result.bad += good ? 0 : 1;
    return ns;
}

void Workloads::fill(Result &result) {
    // The part that surely happens before anything has to leave: what a first touch costs by itself.
    const std::uint64_t early = std::min(settings_.dram_pages, settings_.pages) / 2;
    for (std::size_t page = 0; page < settings_.pages; ++page) {
        std::uint64_t *const at = words(page);
        const Clock::time_point start = Clock::now();
        at[0] = base_of(page);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        result.latency.record(ns_between(start, Clock::now()));
        write_first(at, page);
        versions_[page] = 1;
        if (page + 1 == early)
            result.extra.number("early_touch_mean_us", result.latency.mean_ns() / 1e3);
    }
}

void Workloads::pass(Result &result, Access access) {
    for (std::size_t page = 0; page < settings_.pages && !out_of_time(result); ++page)
        step(result, page, access, Check::kWholePage);
}

void Workloads::strided(Result &result) {
    const std::uint64_t most = ops_of("strided", settings_.pages / 4);
    std::uint64_t done = 0;
    for (std::size_t start = 0; start < kStride; ++start)
        for (std::size_t page = start; page < settings_.pages; page += kStride) {
            if (done++ == most || out_of_time(result))
                return;
            step(result, page, Access::kRead, Check::kStamp);
        }
}

void Workloads::random(Result &result, Order &order, Access access, std::uint64_t ops) {
    for (std::uint64_t op = 0; op < ops && !out_of_time(result); ++op)
        step(result, order.next(), access, Check::kStamp);
}

// A set that fits in DRAM twice over, in one piece.
Workloads::Piece Workloads::hot_piece() const {
    const std::size_t most = std::min(settings_.dram_pages, settings_.pages) / 2;
    const std::size_t count = std::max<std::size_t>(most / kHugePages * kHugePages, 1);
    return {std::min(settings_.pages / 3 / kHugePages * kHugePages, settings_.pages - count),
            count};
}

// After the passes have thrown the piece out.
void Workloads::hot(Result &result) {
    const auto [first, count] = hot_piece();
    UniformOrder order(settings_.seed * 11 + 3, count, first);
    Result warming;
    for (int round = 0; round < 2; ++round)
        for (std::size_t page = first; page < first + count && !out_of_time(warming); ++page)
            step(warming, page, Access::kWrite, Check::kStamp);
    random(warming, order, Access::kWrite, ops_of("hot", 2000000) / 2);

    const FaultCounts before = side_.faults();
    const Clock::time_point start = restart_deadline();
    random(result, order, Access::kWrite, ops_of("hot", 2000000));
    result.seconds = seconds_between(start, Clock::now());
    result.bad += warming.bad;
    result.extra.number("hot_bytes", count * kPageBytes);
    result.extra.number("hot_huge_bytes", huge_bytes(words(first), count * kPageBytes));
    result.extra.number("hot_faults", side_.faults().all - before.all);
}

// The same piece, hot already.
void Workloads::zipf_hot(Result &result) {
    const auto [first, count] = hot_piece();
    ZipfOrder order(settings_.seed * 11 + 4, count, first);
    const Clock::time_point start = Clock::now();
    random(result, order, Access::kWrite, ops_of("zipf-hot", 2000000));
    result.seconds = seconds_between(start, Clock::now());
}

// The engine is asked after every few accesses what it had to do, not after each: the answer takes it long
// enough to disturb the next one. Of these few, the quickest are those that needed no fault, then come the
// kinds in the order of what they cost.
void Workloads::fault_kinds(Result &result) {
    constexpr std::uint64_t kBatch = 16;
    const char *const names[] = {"no_fault", "untouched", "staged", "stored"};
    FineHistogram kinds[4];
    UniformOrder order(settings_.seed * 11 + 4, settings_.pages);
    const std::uint64_t ops = ops_of("fault-kinds", 5000);
    FaultCounts before = side_.faults();
    std::vector<std::uint64_t> batch;
    for (std::uint64_t op = 0; op < ops && !out_of_time(result);) {
        batch.clear();
        for (; batch.size() < kBatch && op < ops; ++op)
            batch.push_back(step(result, order.next(), Access::kWrite, Check::kStamp));
        std::sort(batch.begin(), batch.end());
        const FaultCounts after = side_.faults();
        const std::uint64_t all = after.all - before.all;
        const std::uint64_t counts[] = {batch.size() - std::min<std::uint64_t>(all, batch.size()),
                                        after.untouched - before.untouched,
                                        after.staged - before.staged, after.stored - before.stored};
        std::size_t at = 0;
        for (std::size_t kind = 0; kind < 4; ++kind)
            for (std::uint64_t i = 0; i < counts[kind] && at < batch.size(); ++i)
                kinds[kind].record(batch[at++]);
        before = after;
    }
    for (std::size_t kind = 0; kind < 4; ++kind) {
        JsonObject facts;
        facts.number("ops", kinds[kind].count());
        facts.number("mean_us", kinds[kind].mean_ns() / 1e3);
        facts.number("p50_us", kinds[kind].quantile_ns(0.5) / 1e3);
        facts.number("p99_us", kinds[kind].quantile_ns(0.99) / 1e3);
        result.extra.object(names[kind], facts);
    }
}

// Reading only. The first passes make everything that was changed leave once; from then on nothing that
// leaves DRAM needs to be written, and written_bytes says what was all the same.
void Workloads::clean_pass(Result &result) {
    Result before;
    for (int i = 0; i < 2; ++i)
        pass(before, Access::kRead);
    result.bad = before.bad;
    side_.begin();
    const Clock::time_point start = Clock::now();
    pass(result, Access::kRead);
    result.seconds = seconds_between(start, Clock::now());
    all_checked_ = !result.capped;
}

// Uniform read-modify-write by several threads. A page belongs to one of them, neighbours to different
// ones: the threads meet in the kernel's and the engine's structures, not in the content.
void Workloads::with_threads(Result &result, unsigned threads) {
    const std::uint64_t ops = ops_of("threads", 30000) / threads;
    std::vector<Result> results(threads);
    std::vector<Clock::time_point> starts(threads);
    std::vector<Clock::time_point> ends(threads);
    std::barrier ready(static_cast<std::ptrdiff_t>(threads));
    std::vector<std::thread> workers;
    for (unsigned t = 0; t < threads; ++t)
        workers.emplace_back([&, t] {
            pthread_setname_np(pthread_self(), "bench-worker");
            UniformOrder order(settings_.seed * 1000 + threads * 100 + t, settings_.pages / threads,
                               t, threads);
            ready.arrive_and_wait();
            starts[t] = Clock::now();
            random(results[t], order, Access::kWrite, ops);
            ends[t] = Clock::now();
        });
    for (std::thread &worker : workers)
        worker.join();
    result.seconds = seconds_between(*std::min_element(starts.begin(), starts.end()),
                                     *std::max_element(ends.begin(), ends.end()));
    for (const Result &one : results) {
        result.latency.add(one.latency);
        result.bad += one.bad;
        result.capped = result.capped || one.capped;
    }
    result.extra.number("threads", threads);
}

// Nothing is touched: what the side burns by itself.
void Workloads::idle(Result &result) {
    std::this_thread::sleep_for(std::chrono::duration<double>(settings_.idle_seconds));
    result.latency = FineHistogram();
}

} // namespace tidemark::perf
