// SPDX-License-Identifier: GPL-2.0-or-later
//
// Shares the host's DRAM out among its guests, in rounds. Numbers in, limits out: no clock, no I/O.
//
// Each guest says what more DRAM would save it and what less would cost it, in faults a second for so many
// bytes (arbiter_curves.h makes both from a profile). With them the budget is a market: DRAM goes from who
// loses least by a MiB to who gains most by it, until nobody would gain clearly more than another one loses.
// Gains are made concave first, so that taking the steepest piece next is optimal; this is how Stone, Turek and
// Wolf (1992) and Qureshi and Patt (UCP, 2006) share a cache, and the concave hull is that of Talus (Beckmann
// and Sanchez, 2015). A fault counts priority / 100 * (1 + share of time lost), so that the same faults weigh
// more where they hurt more.
//
// What always holds after a round:
//  - no guest is below its floor, none above `most`;
//  - the limits' sum is not above the budget, unless the floors' sum is;
//  - what is raised is only DRAM that is really free: memory that a lowered guest still uses counts as its own
//    until it has left;
//  - a limit moves by at most max_step() a round, except where a law above forces it.
// A guest whose memory is all in DRAM looks as if it could do with less: nothing is seen of what it would miss. So
// what a MiB was worth to it when it was short of one is the least it sells used memory for. That is forgotten by half
// every kForget rounds, which is a trial: if it turns out to be worth as much as ever, the next one takes twice as long
// to come (kForgetMost). Without that, busy guests that each want all there is rob each other in turn for ever.
// Against oscillation: a trade needs a gain of kHysteresis more than its cost; who turns round waits kSettle rounds;
// who turns after less than kRun rounds goes on in steps half as long, and after kTurns such turns it is left alone
// until what it gains or loses is twice as much as it ever was while it turned, or half, or kHold rounds are over.
// A guest that falls idle, or wakes, has a reason to turn: all this is forgotten of it.
//
// A round takes O(n log n) for n guests; what is remembered is some 100 bytes a guest.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tidemark::daemon {

// So many bytes more (or less), counted from the limit now, save (or cost) so many faults a second.
struct DramEffect {
    std::uint64_t bytes = 0;
    double faults = 0;
};

struct GuestDemand {
    std::string id;
    std::uint64_t limit = 0; // now
    std::uint64_t used = 0;  // of DRAM, now
    std::uint64_t floor = 0;
    std::uint64_t most = 0;   // its memory, or less if somebody fixed its limit
    std::uint64_t memory = 0; // all of its RAM
    std::uint32_t priority = 100;
    double lost = 0;    // share of its time that it lost of late to missing pages, 0 to 1
    bool known = false; // its curves mean something; else it keeps its limit
    bool idle = false;  // it does nothing now
    std::vector<DramEffect> gains{}, losses{}; // ascending in bytes
};

struct HostBudget {
    std::uint64_t bytes = 0;
    bool pressed = false; // the host itself runs short of memory: nobody is raised
};

struct DramGrant {
    std::string id;
    std::uint64_t limit = 0;
};

class Arbiter {
  public:
    static constexpr std::uint64_t kGrain = 2 << 20; // limits move in whole regions
    static constexpr double kHysteresis = 0.25;
    // Faults a second for a MiB: less is not worth a move.
    static constexpr double kWorthwhile = 0.01;
    static constexpr std::uint32_t kSettle = 3; // rounds
    static constexpr std::uint32_t kRun = 24;   // rounds
    static constexpr std::uint32_t kTurns = 3;
    static constexpr std::uint32_t kHold = 120;                       // rounds
    static constexpr double kForget = 24, kForgetMost = 16 * kForget; // rounds
    // Faults a second for a MiB of memory that is in use as far as anybody knows, see arbiter_curves.h.
    static constexpr double kInUse = 25;

    // The most by which a round moves a guest's limit.
    static std::uint64_t max_step(std::uint64_t memory);

    // One grant for each demand, in the same order. A guest that is missing is forgotten.
    std::vector<DramGrant> round(const HostBudget &budget, std::span<const GuestDemand> demands);

  private:
    struct Range {
        double low = 0, high = 0;
        void widen(double value);
        bool left_by(double value) const; // twofold
    };
    // What a MiB was worth to a guest when it was short of one: faults a second, weighed but for its priority.
    struct Worth {
        double remembered = 0, highest = 0; // now; before it began to be forgotten
        double half_life = kForget;         // rounds
        void see(double worth);
    };
    struct Motion {
        int direction = 0;
        std::uint32_t turns = 0;
        std::uint32_t moved = 0,
                      began = 0; // rounds: of the last move, of the first in its direction
        std::uint32_t held_since = 0;
        std::uint64_t step = 0;
        Range gain{}, loss{}; // of the next MiB, since it last began to turn
    };
    struct Past {
        Motion motion{};
        Worth worth{};
        bool idle = false;
        std::uint32_t seen = 0; // round
    };
    struct Side;
    struct Piece;
    struct Market;

    void open(Market &market, std::span<const GuestDemand> demands);
    bool may_move(const Side &side, int direction) const;
    void offer(Market &market);
    static void enforce(Market &market, std::uint64_t budget);
    static void hand_out(Market &market, std::uint64_t room);
    static void trade(Market &market, std::uint64_t on_its_way);
    void remember(Market &market);
    void hold_or_release(const Side &side);
    void count_move(const Side &side, int direction);

    std::unordered_map<std::string, Past> past_;
    std::uint32_t round_ = 0;
};

// The DRAM a new guest starts with, at least its floor, or why its floor does not fit. others: all guests that run or
// are being started.
Result<std::uint64_t> admit(std::uint64_t budget, std::span<const GuestDemand> others,
                            const std::string &name, std::uint64_t floor, std::uint64_t wanted);

} // namespace tidemark::daemon
