// SPDX-License-Identifier: GPL-2.0-or-later
//
// When the pages of a stripe will be written next. A page is judged with its neighbours: what is written around
// it says what to expect where it has shown too little itself.
#pragma once

#include "migrate/writes.h"

#include <array>
#include <limits>

namespace tidemark {

struct NextWrite {
    static constexpr float kNever = std::numeric_limits<float>::infinity();
    static constexpr float kLongAgo = 1024; // seconds: where stamps are let go

    float seconds = kNever; // from the moment asked about until the next write, on average
    float gap = kNever;     // seconds between two writes, on average
    bool regular = false;   // about after that gap, and not at any time
    bool silent = false;    // it will write what the page holds
    bool never = true;      // no write to the page itself was seen
};

using StripeForecast = std::array<NextWrite, kStripePages>;

// What is asked of the whole guest at once, for many stripes.
struct WritesMoment {
    WritesMoment(const Writes &writes, Nanos now);
    Stamp now, newest;
    float learnt;    // seconds
    float coverage;  // seconds, of the last look
    float usual;     // the same, unless it was late
    float since;     // seconds, from the last look to now
    float sweep = 0; // seconds that a walk takes; 0: there is none
};

StripeForecast forecast_stripe(std::span<const PageWrites> pages, const WritesMoment &moment);

} // namespace tidemark
