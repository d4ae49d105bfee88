// SPDX-License-Identifier: GPL-2.0-or-later
//
// How eagerly memory that nobody uses leaves DRAM although there is room for it.
//
//    resident, not changed place for half a cold age --probe--> on probation in S
//       a use: back at once, all of a huge page with one move, and the next probe is half a cold age away
//       none for another half: written, and gone
//
// Each use of a page on probation, or of one that left, makes the guest wait. The controller holds the share of
// time so lost below a bound: above it probing pauses, twice as long each time, and half as long after each
// quiet stretch. Disks that are busy already (PSI) are not written to. (Feedback from what a guest loses
// instead of a threshold of age alone: Weiner et al., TMO, ASPLOS 2022.)
//
// Pure: the time comes from the caller. Used by the evictor thread alone.
#pragma once

#include <cstdint>

namespace tidemark {

class Reclaim {
  public:
    static constexpr double kLooks = 8;    // at each region, in a cold age
    static constexpr double kAverage = 10; // seconds the share of lost time is averaged over
    static constexpr double kPauseLeast = 1, kPauseMost = 64; // seconds
    static constexpr double kBusyDisk = 0.2;                  // of time some task waits for I/O

    struct Sight {
        double now = 0;         // seconds
        double waited = 0;      // seconds in all that the guest has waited for pages that had left
        double io_pressure = 0; // share of time, 0 if not known
        bool short_of_dram = false;
    };

    // slowdown: per mille of time, 0: no reclaim. cold_age: seconds.
    void configure(std::uint32_t slowdown, std::uint32_t cold_age);
    // Once per tick; a tick is a fraction of a second.
    void look(const Sight &sight);

    bool on() const { return bound_ > 0; }
    bool may_probe() const { return on() && !short_ && now_ >= resume_; }
    bool may_write() const { return may_probe() && !busy_; }
    double slowdown() const { return slowdown_; } // the share lost of late
    double half_age() const { return cold_age_ / 2; }
    // How many of `regions` to look at in this tick.
    std::uint32_t due(std::uint32_t regions);

  private:
    double bound_ = 0, cold_age_ = 0;
    double now_ = 0, waited_ = 0, slowdown_ = 0;
    double resume_ = 0, pause_ = kPauseLeast;
    double elapsed_ = 0, owed_ = 0;
    bool short_ = true, busy_ = false, seen_ = false;
};

} // namespace tidemark
