// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest and an engine in miniature, to make the accesses that a profiler is given: pages come in at their first
// access, go on probation in the order in which they came in, come back if used there, and leave otherwise.
//
//    untouched --first_touch--> resident --oldest, or sampled--> staged --oldest--> stored (left)
//                                   ^------------ staged -----------+                  |
//                                   ^------------ stored ------------------------------+
#pragma once

#include "profile/profiler.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <random>
#include <vector>

namespace tidemark {

class GuestModel {
  public:
    // At most `dram` pages are in DRAM, `probation` of them staged (when DRAM is full).
    GuestModel(std::uint32_t pages, std::uint32_t dram, std::uint32_t probation)
        : dram_(dram), probation_(probation), pages_(pages),
          resident_in_((pages + kRegionPages - 1) / kRegionPages), staged_in_(resident_in_.size()),
          profiler(pages) {}

    void access(std::uint32_t page, bool write) {
        Entry &entry = pages_[page];
        switch (entry.state) {
        case State::resident:
            if (sees_all) // an engine that is told of every access, and so has real LRU
                resident_.splice(resident_.end(), resident_, entry.place);
            return; // nobody sees it
        case State::untouched:
            log(page, AccessKind::first_touch, write);
            break;
        case State::staged:
            log(page, AccessKind::staged, write);
            staged_.erase(entry.place);
            --staged_in_[page / kRegionPages];
            break;
        case State::stored:
            log(page, AccessKind::stored, write);
            ++waits;
            --stored_;
            break;
        }
        put(page, State::resident, resident_, resident_in_);
        make_room();
    }

    // Puts some resident pages on probation, chosen at random: what a sampling engine does.
    void sample(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i)
            if (const auto page = static_cast<std::uint32_t>(random() % pages_.size());
                pages_[page].state == State::resident)
                stage(page);
    }

    // All memory leaves but for `most` pages, without need, because nobody uses it.
    void reclaim(std::size_t most) {
        while (resident_.size() > most)
            stage(resident_.front());
        while (!staged_.empty())
            leave();
    }

    // Lets time pass; each step is a quarter of a second, in which step(*this) makes the guest's accesses.
    template <typename Step> void run(double seconds, Step step) {
        for (double end = now + seconds; now < end - 1e-9;) {
            step(*this);
            now += 0.25;
            profiler.note(log_);
            log_.clear();
            profiler.tick(now, residency());
        }
    }
    Residency residency() const {
        return {true, resident_in_, staged_in_, resident_.size(), staged_.size(), stored_, dram_};
    }

  private:
    enum class State : std::uint8_t { untouched, resident, staged, stored };
    struct Entry {
        State state = State::untouched;
        std::list<std::uint32_t>::iterator place;
    };

    void log(std::uint32_t page, AccessKind kind, bool write) {
        log_.push_back({PageIndex{page}, 1, kind, Origin::guest, write, 0});
    }
    void put(std::uint32_t page, State state, std::list<std::uint32_t> &list,
             std::vector<std::uint16_t> &by_region) {
        list.push_back(page);
        pages_[page] = {state, std::prev(list.end())};
        ++by_region[page / kRegionPages];
    }
    void stage(std::uint32_t page) {
        resident_.erase(pages_[page].place);
        --resident_in_[page / kRegionPages];
        put(page, State::staged, staged_, staged_in_);
    }
    void make_room() {
        while (resident_.size() + staged_.size() > dram_) {
            while (staged_.size() <= probation_ && !resident_.empty())
                stage(resident_.front());
            leave();
        }
    }
    void leave() {
        const std::uint32_t page = staged_.front();
        log(page, AccessKind::left, false);
        staged_.pop_front();
        --staged_in_[page / kRegionPages];
        pages_[page].state = State::stored;
        ++stored_;
    }

    const std::uint32_t dram_, probation_;
    std::vector<Entry> pages_;
    std::list<std::uint32_t> resident_, staged_; // longest there first
    std::vector<std::uint16_t> resident_in_, staged_in_;
    std::uint64_t stored_ = 0;
    std::vector<Access> log_;

  public:
    Profiler profiler;
    std::mt19937 random{1};
    double now = 0;
    bool sees_all = false;
    std::uint64_t waits = 0; // accesses to stored pages
};

// Zipf-distributed ranks by rejection from the continuous curve; exponent 0.99.
class Zipf {
  public:
    explicit Zipf(std::uint32_t n) : n_(n), area_(integral(n + 0.5) - integral(0.5)) {}
    template <typename Random> std::uint32_t operator()(Random &random) const {
        const double u = std::uniform_real_distribution<>(0, 1)(random);
        const double x =
            std::pow((u * area_ + integral(0.5)) * (1 - kExponent), 1 / (1 - kExponent));
        return std::min(n_ - 1, static_cast<std::uint32_t>(std::max(1.0, std::round(x))) - 1);
    }

  private:
    static constexpr double kExponent = 0.99;
    static double integral(double x) { return std::pow(x, 1 - kExponent) / (1 - kExponent); }
    const std::uint32_t n_;
    const double area_;
};

} // namespace tidemark
