// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest on a DRAM with LRU and a disk, in simulated time: what predictors would see of it, window by window,
// and what their orders would do for it.
#pragma once

#include "engine/access.h"
#include "predict/predictor.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <span>
#include <vector>

namespace tidemark::test {

class TinyGuest {
  public:
    struct Costs { // seconds
        double work = 10e-6, fault = 80e-6, ahead = 5e-6;
    };

    TinyGuest(std::uint32_t pages, std::uint32_t dram) : pages_(pages), dram_(dram) {}
    Costs costs;
    double window = 0.25; // seconds; not to be changed once time has passed
    // Called at the end of each window.
    std::function<void(const Window &)> on_window;

    void touch(std::uint32_t page) {
        advance(costs.work);
        Page &one = at(page);
        if (one.state == State::resident && !one.staged)
            return to_front(page);
        const Origin by = one.by;
        AccessKind kind = AccessKind::staged;
        if (one.state == State::untouched)
            kind = AccessKind::first_touch;
        else if (one.state == State::out)
            kind = AccessKind::stored;
        else if (by != Origin::guest)
            kind = AccessKind::prefetched;
        if (kind == AccessKind::stored) {
            ++faults;
            advance(costs.fault);
        }
        log({PageIndex{page}, 1, kind, kind == AccessKind::prefetched ? by : Origin::guest});
        if (one.state != State::resident)
            come_in(page);
        one.staged = false;
        one.by = Origin::guest;
        to_front(page);
    }
    void rest(double seconds) {
        for (const double end = now + seconds; now < end;)
            advance(std::min(end - now, 0.01));
    }
    // Brings pages in ahead; one in 16 of them such that its use is seen.
    void order(PageRun run, Origin origin) {
        for (std::uint32_t i = 0; i < run.count; ++i)
            queue_.push_back({run.first.next(i).value, origin});
    }
    void drop_orders() { queue_.clear(); }
    void evict_all() {
        while (count_ > 0)
            go_out();
    }
    bool resident(std::uint32_t page) { return at(page).state == State::resident; }
    std::uint32_t free() const { return dram_ - count_; }

    double now = 0;
    std::uint64_t faults = 0; // that waited for the disk
    std::uint64_t ahead = 0;  // pages brought in ahead
    std::uint64_t wasted = 0; // of them, left unused (as far as is seen)

  private:
    enum class State : std::uint8_t { untouched, resident, out };
    struct Page {
        State state = State::untouched;
        bool staged = false;
        Origin by = Origin::guest;
        std::uint32_t next = kEnd, prev = kEnd;
    };
    static constexpr std::uint32_t kEnd = UINT32_MAX;

    Page &at(std::uint32_t page) { return pages_[page]; }
    void unlink(std::uint32_t page) {
        Page &one = at(page);
        (one.prev == kEnd ? head_ : at(one.prev).next) = one.next;
        (one.next == kEnd ? tail_ : at(one.next).prev) = one.prev;
    }
    void link(std::uint32_t page) {
        at(page).prev = kEnd;
        at(page).next = head_;
        (head_ == kEnd ? tail_ : at(head_).prev) = page;
        head_ = page;
    }
    void to_front(std::uint32_t page) {
        unlink(page);
        link(page);
    }
    void come_in(std::uint32_t page) {
        if (count_ == dram_)
            go_out();
        ++count_;
        at(page).state = State::resident;
        link(page);
    }
    void go_out() {
        const std::uint32_t page = tail_;
        Page &one = at(page);
        const bool unused = one.staged && one.by != Origin::guest;
        wasted += unused;
        log({PageIndex{page}, 1, unused ? AccessKind::wasted : AccessKind::left, one.by});
        unlink(page);
        one = Page{State::out};
        --count_;
    }
    void log(Access access) {
        access.ms = static_cast<std::uint32_t>(now * 1000);
        log_.push_back(access);
    }
    void advance(double seconds) {
        now += seconds;
        for (disk_free_ = std::max(disk_free_, now - seconds);
             disk_free_ < now && !queue_.empty();) {
            const auto [page, origin] = queue_.front();
            queue_.pop_front();
            if (at(page).state != State::out)
                continue;
            disk_free_ += costs.ahead;
            come_in(page);
            at(page).by = origin;
            at(page).staged = ++ahead % 16 == 0;
        }
        if (window_end_ == 0)
            window_end_ = window;
        while (now >= window_end_) {
            std::vector<Access> seen;
            seen.swap(log_);
            std::vector<float> heat((pages_.size() + kRegionPages - 1) / kRegionPages);
            for (const Access &one : seen)
                if (is_use(one.kind))
                    heat[one.first.value / kRegionPages] += static_cast<float>(one.count);
            if (on_window)
                on_window({window_end_ - window, window, seen, heat});
            window_end_ += window;
        }
    }

    std::vector<Page> pages_;
    std::uint32_t dram_, count_ = 0, head_ = kEnd, tail_ = kEnd;
    std::deque<std::pair<std::uint32_t, Origin>> queue_;
    double disk_free_ = 0, window_end_ = 0;
    std::vector<Access> log_;
};

// `count` sets of random extents of 64 KiB, none in two sets, each about `share` of the memory.
inline std::vector<std::vector<std::uint32_t>> scattered_sets(std::uint32_t pages, int count,
                                                              double share, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::uint32_t> extents(pages / 16);
    for (std::uint32_t i = 0; i < extents.size(); ++i)
        extents[i] = i;
    std::shuffle(extents.begin(), extents.end(), random);
    const auto each = static_cast<std::size_t>(share * static_cast<double>(extents.size()));
    std::vector<std::vector<std::uint32_t>> sets(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < each * sets.size(); ++i)
        for (std::uint32_t page = 0; page < 16; ++page)
            sets[i / each].push_back(extents[i] * 16 + page);
    return sets;
}

inline void fill(TinyGuest &guest, std::uint32_t pages) {
    for (std::uint32_t page = 0; page < pages; ++page)
        guest.touch(page);
}

// Uniformly random in the set, for so many seconds.
inline void work_in(TinyGuest &guest, const std::vector<std::uint32_t> &set, double seconds,
                    std::mt19937 &random) {
    for (const double end = guest.now + seconds; guest.now < end;)
        guest.touch(set[random() % set.size()]);
}

} // namespace tidemark::test
