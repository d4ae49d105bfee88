// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests restored from one image: what the first one needed when it began, the next one needs too, at the same
// addresses. Beside each recorded working set (state_dir/recorded/<uuid>, written by Guests) lies the sketch of
// what the guest's memory contained then. A guest that has just been started or restored replays the record of its group
// whose sketch agrees best with its own memory, if both have at least kAgreement of their contents in common.
//
// Which contents are in a sketch depends on what has been in a tier, and that differs with the DRAM limit. So it is the
// share of the smaller set that counts, estimated from the Jaccard index J of the sketches:
// |A and B| = J / (1 + J) * (|A| + |B|).
#pragma once

#include "daemon/similarity.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace tidemark::daemon {

// Estimated share of the smaller one's contents that are in both, 0 to 1.
double common_share(const ContentSketch &a, const ContentSketch &b);

class WarmUps {
  public:
    static constexpr double kAgreement = 0.5;
    static constexpr std::size_t kMost = 1024; // records known; the oldest goes first

    // Reads what earlier lives of the daemon left; what is damaged is passed over.
    explicit WarmUps(std::string state_dir);

    // uuid's record is there, of a guest of this group with this content.
    void add(const std::string &uuid, const std::string &group, ContentSketch sketch);
    struct Found {
        std::string uuid; // whose record
        double agreement = 0;
    };
    // Only of the same group, and never without content to compare.
    std::optional<Found> find(const std::string &group, const ContentSketch &sketch) const;
    std::size_t size() const { return records_.size(); }

  private:
    struct Record {
        std::string group;
        ContentSketch sketch;
        std::uint64_t order = 0;
    };
    void insert(const std::string &uuid, Record record);

    const std::string state_dir_;
    std::map<std::string, Record> records_;
    std::uint64_t order_ = 0;
};

} // namespace tidemark::daemon
