// SPDX-License-Identifier: GPL-2.0-or-later
//
// How many distinct pages were used in the last 10, 60 and 600 seconds. One page of 16, chosen by hash
// (sampled_pages.h), has a stamp of two bytes: the second in which it was last seen used.
//
// What the figures mean. A page that is resident is not seen, so what was seen is a lower bound; with enough
// DRAM it is nothing at all. Hence three figures for each window:
//
//    seen      distinct pages seen used: faults, pages back from probation, prefetched ones used.
//              Error: standard deviation at most sqrt(15 * seen) pages, if each lies alone; far less for
//              runs. What is mapped with a first touch (zeros around it, 2 MiB of them where a
//              guest walks) or read whole before a walk counts as used; what is prefetched and mapped
//              at once is not seen at all.
//    estimate  seen, and of the resident pages of regions that were sampled in the window, the share that the
//              sample showed in use (regions.h).
//    untested  resident pages of regions that were not sampled in the window: nothing is known of them.
//              Without sampling, that is all of them.
//
// The true size lies between `seen` and `estimate + untested`, up to the error of the samples. (Of a huge page that came
// back from probation as a whole, one page is seen, and all are estimated: nobody tells which.)
// A window of n seconds covers between n - 1 and n: the second that has just begun counts as one.
#pragma once

#include "profile/regions.h"
#include "profile/sampled_pages.h"

#include <array>
#include <cstdint>
#include <vector>

namespace tidemark {

struct WorkingSetSize {
    std::uint32_t seconds = 0;
    std::uint64_t seen_pages = 0, estimate_pages = 0, untested_pages = 0;
};

class UseStamps {
  public:
    static constexpr std::uint32_t kGroup = 16;
    static constexpr std::array<std::uint32_t, 3> kWindows{10, 60, 600};
    explicit UseStamps(std::uint32_t pages) : sample_(pages), stamps_(sample_.groups(), kLongAgo) {}

    void used(PageRun run) {
        sample_.each(run, [this](std::uint32_t g) { stamps_[g] = stamp_; });
    }
    void tick(double now);
    std::array<WorkingSetSize, 3> sizes(const Regions &regions) const;
    std::size_t bytes() const { return stamps_.capacity() * sizeof(stamps_[0]); }

  private:
    // Stamps are seconds modulo kWrap, plus one. A hand goes round once in kRound seconds and takes those out
    // that no window covers any more, long before they would seem young again.
    static constexpr std::uint16_t kLongAgo = 0;
    static constexpr std::uint32_t kWrap = UINT16_MAX;
    static constexpr std::uint32_t kRound = 600;
    std::uint32_t age_of(std::uint16_t stamp) const { return (stamp_ + kWrap - stamp) % kWrap; }

    const SampledPages<kGroup> sample_;
    std::vector<std::uint16_t> stamps_;
    std::uint16_t stamp_ = 1; // of now
    double now_ = 0;
    double swept_ = 0; // up to when the hand has gone on
    std::size_t hand_ = 0;
};

} // namespace tidemark
