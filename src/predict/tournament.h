// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which predictor may bring pages in, and how many. Each names pages; each is judged by what became of them:
//
//    named by a predictor --> nobody ordered it --> a shadow (shadow.h): the guest waited for it in time, late,
//             |                                     or not before the forecast's end
//             '-------------> ordered for it -----> what the engine saw of the pages it brought (Outcomes)
//
// What the engine saw decides where it tells good from bad, and shadows where it does not: they know nothing of what
// had to leave for a page. It fades within minutes. A predictor of whose pages surely half are used in time (score.h)
// shares the bandwidth, the surest first; on the word of its shadows alone it starts with some thousand pages. The
// others get a trial share: one page for each hundred for which the guest waits, and at most a hundredth of the
// bandwidth; so where nothing can be foretold next to nothing is read. Their shadows go on, so that they can earn it.
//
// Memory: two bits a page, 100 KiB of shadow and at most 8192 waiting runs (256 KiB) a predictor.
#pragma once

#include "predict/predictor.h"
#include "predict/score.h"
#include "predict/shadow.h"

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace tidemark {

struct Order {
    PageRun run;
    Origin origin = Origin::request;
    float confidence = 0; // as far as experience goes
    double until = 0;     // of no use afterwards; same clock as Window::begin
};

// Of the pages the engine has brought in for an origin: those whose use could be seen, since it was attached.
struct Outcome {
    std::uint64_t used = 0, late = 0, wasted = 0; // late: the guest came while they were being read
};
using Outcomes = std::array<Outcome, kOrigins>;

struct Standing {
    std::string_view name;
    Origin origin = Origin::guest;
    bool enabled = true, earning = false;
    std::uint64_t named = 0, ordered = 0;         // pages
    std::uint64_t used = 0, late = 0, wasted = 0; // of those that could be judged
    double surely = 0;                            // the share that earns, or not
};

class Tournament {
  public:
    // The share of pages that must be used to earn bandwidth, and to keep it.
    static constexpr double kEarns = 0.5, kKeeps = 0.4;
    static constexpr double kTrial = 0.01;
    // Pages that one may order before enough was seen of what it brings.
    static constexpr double kCredit = 2048;
    static constexpr std::size_t kMostWaiting = 8192;

    // budget: pages a second, of all predictors together.
    Tournament(std::uint32_t pages, double budget);

    // Not owned. One per origin: a later one takes the place, and the standing, of an earlier.
    void add(Predictor &predictor);
    // A predictor that is off neither sees nor names anything; what it has learnt and earned stays.
    void enable(Origin origin, bool on);
    void set_budget(double pages_per_second);
    // Accesses were lost, or nobody looked for a while: any page may be anywhere.
    void lost();

    // Lets all see the window, and decides. outcomes: as of its end.
    std::vector<Order> step(const Window &window, const Outcomes &outcomes);
    std::vector<Standing> standings() const;
    std::size_t bytes() const;

  private:
    struct Entrant {
        Entrant(Predictor &one, std::uint32_t pages) : predictor(&one), shadow(pages) {}
        Predictor *predictor;
        bool enabled = true, earning = false;
        Shadow shadow;
        Score shadows{8192}, brought{1024}; // what would have been, and what was
        double credit = kCredit;            // pages it may order while too little was seen of them
        Outcome seen;                       // of the engine's counters
        double claimed = 0, claims = 0;     // confidence summed over pages, recent ones
        std::deque<Expectation> waiting;
        Standing totals;
    };

    void note(const Window &window);
    void judge(Entrant &entrant, const Outcome &now, const Window &window);
    void hear(Entrant &entrant, double now);
    void give(Entrant &entrant, double &pages, std::vector<Order> &out);
    static bool proven(const Entrant &entrant);
    static double surely(const Entrant &entrant);
    float calibrated(const Entrant &entrant, float claimed) const;
    bool wanted(std::uint32_t page) const { return out_[page] && !ordered_[page]; }

    std::uint32_t pages_;
    double budget_, purse_ = 0, trial_ = 0; // purses: pages that may be ordered now
    std::uint64_t waited_ = 0;              // pages of the last window for which the guest waited
    std::vector<std::unique_ptr<Entrant>> entrants_;
    std::size_t turn_ = 0;            // whose trial is next
    std::vector<bool> out_, ordered_; // left DRAM; ordered since
    std::vector<Expectation> heard_;  // scratch
};

} // namespace tidemark
