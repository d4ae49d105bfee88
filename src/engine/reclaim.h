// SPDX-License-Identifier: GPL-2.0-or-later
//
// How eagerly memory that nobody uses leaves DRAM although there is room for it.
//
//    resident, not changed place for half a cold age --probe--> on probation in S
//       a use: back at once, all of a huge page with one move, and the next probe is half a cold age away
//       none for another half: written, and gone
//
// Each use of a page on probation, or of one that left, makes the guest wait. The share of time so lost is to stay below
// a bound, in two ways:
//
//  - Pages are probed, and leave, no faster than the guest can afford if as much is used as was of late: of those probed;
//    of those that left, or (nothing of them may have come back yet) of those in the second half of their probation.
//  - Above the bound all pauses, twice as long each time, and half as long after each quiet stretch. (Feedback from what
//    a guest loses instead of a threshold of age alone: Weiner et al., TMO, ASPLOS 2022.)
//
// Disks that are busy already (PSI) are not written to. What happens while DRAM is short is the limit's doing, and says
// nothing.
//
// While a working set is recorded all that is resident and not in the record yet is probed once, as fast as the bound
// allows: memory that is in use and stays in DRAM is seen no other way.
//
// Pure: the time comes from the caller. Used by the evictor thread alone.
#pragma once

#include <cstdint>

namespace tidemark {

class Reclaim {
  public:
    static constexpr double kLooks = 8;    // at each region, in a cold age
    static constexpr double kAverage = 10; // seconds the share of lost time is averaged over
    static constexpr double kPauseLeast = 1, kPauseMost = 64;     // seconds
    static constexpr double kBusyDisk = 0.2;                      // of time some task waits for I/O
    static constexpr double kProbeShare = 0.4, kLeaveShare = 0.4; // of the bound
    // Seconds that a probed page costs: until so many are known; at most, if each is used.
    static constexpr double kProbeCost = 1e-6, kProbesKnown = 2048, kProbeCostMost = 20e-6;
    static constexpr double kReturnCost = 60e-6; // seconds, until it is known
    static constexpr double kReturnLeast =
        1.0 / 256;                                // of what is probed or leaves, whatever was seen
    static constexpr double kRecordSweep = 8;     // seconds for all regions, while it is recorded
    static constexpr double kRecordBound = 0.020; // of time, if reclaim is off

    struct Sight {
        double now = 0;    // seconds
        double waited = 0; // seconds in all that the guest has waited for pages that had left,
        double waited_staged = 0; // for those on probation alone
        // Pages in all that left for a tier; waits for one of those; pages used late in their probation.
        std::uint64_t left = 0, returns = 0, late = 0;
        double io_pressure = 0; // share of time, 0 if not known
        bool short_of_dram = false;
    };

    // slowdown: per mille of time, 0: no reclaim. cold_age: seconds.
    void configure(std::uint32_t slowdown, std::uint32_t cold_age, bool recording = false);
    // Once per tick; a tick is a fraction of a second.
    void look(const Sight &sight);

    bool on() const { return bound_ > 0 || recording_; }
    bool may_probe() const { return on() && !last_.short_of_dram && last_.now >= resume_; }
    bool may_write() const { return may_probe() && bound_ > 0 && last_.io_pressure <= kBusyDisk; }
    // Whether another region may be probed before the next look; how many pages of the last one were.
    bool may_probe_more() const { return may_probe() && probe_credit_ > 0; }
    void probed(std::uint32_t pages) {
        probe_credit_ -= pages;
        probed_ += pages;
    }
    // Pages, until the next look.
    std::uint64_t may_leave() const {
        return may_write() && credit_ > 0 ? static_cast<std::uint64_t>(credit_) : 0;
    }
    double slowdown() const { return slowdown_; } // the share lost of late
    double half_age() const { return cold_age_ / 2; }
    // How many of `regions` to look at in this tick.
    std::uint32_t due(std::uint32_t regions);

  private:
    double bound() const { return bound_ > 0 || !recording_ ? bound_ : kRecordBound; }
    void earn_probes(const Sight &sight, double keep);
    void earn_leaving(const Sight &sight, double keep);
    double average(double share, double waited) const;

    double bound_ = 0, cold_age_ = 0;
    double slowdown_ = 0, slowdown_staged_ = 0;
    double resume_ = 0, pause_ = kPauseLeast;
    double elapsed_ = 0, owed_ = 0;
    // Of late: they fade. Credit is in pages, waits are in seconds.
    double probed_ = 0, probe_waits_ = 0, probe_credit_ = 0;
    double left_ = 0, returns_ = 0, late_ = 0, return_cost_ = kReturnCost, credit_ = 0;
    Sight last_{.short_of_dram = true};
    bool seen_ = false, recording_ = false;
};

} // namespace tidemark
