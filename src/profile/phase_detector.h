// SPDX-License-Identifier: GPL-2.0-or-later
//
// When a guest turns to other memory, and whether it has been there before. Once a second, the recent heat
// (pages seen used per region, half-life kHalfLife) is compared with the mean of the phase it is in:
//
//    cosine distance to the mean up to kSame   ->  same phase, the mean follows slowly
//    up to kOther                              ->  same phase; the mean stays, or it would follow a change
//    beyond, and within kSteady of the second before
//                                              ->  a change: to the nearest of the kKnown phases remembered,
//                                                  or to a new one
//    beyond, and not steady                    ->  wait: a transition, or a walk through memory, which is no
//                                                  phase
//
// Nothing is judged while little is seen: of a guest whose memory is all resident, some 25 samples a second must come back. A change shows about four seconds after it happened.
// (Phases as clusters of vectors of what was executed, and transitions between them apart: Sherwood, Sair and
// Calder, ISCA 2003; Lau, Schoenmackers and Calder, HPCA 2005.)
//
// Vectors have one element a region, at most kElements: beyond 2 GiB region r counts in element r modulo that.
#pragma once

#include "base/units.h"

#include <array>
#include <cstdint>
#include <vector>

namespace tidemark {

class PhaseDetector {
  public:
    static constexpr double kHalfLife = 2; // seconds
    static constexpr double kSame = 0.2, kOther = 0.5, kSteady = 0.1;
    static constexpr std::size_t kKnown = 6;
    static constexpr std::uint32_t kElements = 1024;
    static constexpr double kQuiet = 3; // seconds for which what was seen last may still be judged

    explicit PhaseDetector(std::uint32_t pages);
    PhaseDetector(const PhaseDetector &) = delete; // phase_ points into known_
    PhaseDetector &operator=(const PhaseDetector &) = delete;

    void used(PageRun run);
    void tick(double now);

    std::uint32_t current() const { return current_; } // numbered from 1; 0: none yet
    std::uint32_t phases() const { return numbered_; } // different ones seen
    std::uint64_t changes() const { return changes_; }
    double changed_at() const { return changed_at_; }             // or began
    double changes_per_minute() const { return recent_changes_; } // decayed over some minutes
    std::size_t bytes() const;

  private:
    using Vector = std::vector<float>;
    struct Phase {
        std::uint32_t number = 0; // 0: free
        double last = 0;
        Vector mean; // of unit vectors
    };
    void judge(double now);
    void enter(double now);

    const double least_; // pages of recent heat, for a phase to be seen
    Vector recent_, before_;
    std::array<Phase, kKnown> known_;
    Phase *phase_ = nullptr;
    double fresh_ = 0; // pages since the last judgement
    double judged_ = 0, seen_at_ = 0, changed_at_ = 0, recent_changes_ = 0;
    std::uint32_t current_ = 0, numbered_ = 0;
    std::uint64_t changes_ = 0;
};

} // namespace tidemark
