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
// quiet stretch. While a working set is recorded all that is resident and not in the record yet is probed once,
// within the same bound of what that costs: memory that is in use and stays in DRAM is seen no other way. Disks that are busy already (PSI) are not written to. (Feedback from what a guest loses
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
    static constexpr double kRecordSweep = 8;     // seconds for all regions, while it is recorded
    static constexpr double kRecordBound = 0.020; // of time, if reclaim is off

    struct Sight {
        double now = 0;    // seconds
        double waited = 0; // seconds in all that the guest has waited for pages that had left,
        double waited_staged = 0; // for those on probation alone
        double io_pressure = 0;   // share of time, 0 if not known
        bool short_of_dram = false;
    };

    // slowdown: per mille of time, 0: no reclaim. cold_age: seconds.
    void configure(std::uint32_t slowdown, std::uint32_t cold_age, bool recording = false);
    // Once per tick; a tick is a fraction of a second.
    void look(const Sight &sight);

    bool on() const { return bound_ > 0 || recording_; }
    bool may_probe() const { return on() && !short_ && now_ >= resume_; }
    bool may_write() const { return may_probe() && bound_ > 0 && !busy_; }
    double slowdown() const { return slowdown_; } // the share lost of late
    double half_age() const { return cold_age_ / 2; }
    // How many of `regions` to look at in this tick.
    std::uint32_t due(std::uint32_t regions);

  private:
    double bound_ = 0, cold_age_ = 0;
    void average(double &share, double &before, double now) const;

    double now_ = 0, waited_ = 0, slowdown_ = 0;
    double waited_staged_ = 0, slowdown_staged_ = 0;
    double resume_ = 0, pause_ = kPauseLeast;
    double elapsed_ = 0, owed_ = 0;
    bool short_ = true, busy_ = false, seen_ = false, recording_ = false;
};

} // namespace tidemark
