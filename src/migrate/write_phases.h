// SPDX-License-Identifier: GPL-2.0-or-later
//
// Busy and quiet phases of a guest that come again: a job every ten minutes, a pause between batches. Seen from how
// many pages looks find written. Coarse: what matters is when it will next be quiet, and for how long.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace tidemark {

struct WriteCycle {
    double cycle = 0, busy = 0; // seconds; busy at its start
    double position = 0;        // seconds into it
    double quiet_level = 0;     // pages found a second in quiet phases
};

class WritePhases {
  public:
    // After a look: the time, in seconds, and the pages a second that were found written of late.
    void see(double now, double level);
    // If there were two of each, about equally long, and the present one isn't overdue.
    std::optional<WriteCycle> cycle(double now) const;

    std::size_t bytes() const { return bins_.capacity() * sizeof(float); }

  private:
    static constexpr std::size_t kMostBins =
        2048;                              // then two become one: the whole past, ever coarser
    static constexpr double kFinest = 0.5; // seconds

    void merge();

    std::vector<float> bins_; // mean level of each; negative: none was seen
    double bin_ = kFinest, start_ = -1;
    double sum_ = 0; // of the bin that is being filled
    unsigned count_ = 0;
};

} // namespace tidemark
