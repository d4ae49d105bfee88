// SPDX-License-Identifier: GPL-2.0-or-later
//
// Lets guests of a group help each other (affinity_prefetch.h, affinity_warm_up.h), as their profiles and sketches come
// in. Only between members of one group, and only for a guest whose prefetch policy is on. A guest of
// several backends is compared by its largest one.
#pragma once

#include "daemon/affinity_prefetch.h"
#include "daemon/affinity_warm_up.h"
#include "daemon/guests.h"
#include "daemon/similarity.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::daemon {

struct AffinityLoopOptions {
    std::string state_dir;
    std::chrono::seconds sketch_period{60};
    std::chrono::seconds profile_period{10}; // of Guests
    // A QEMU younger than this has just been started or restored.
    std::chrono::seconds young{120};
    std::chrono::seconds record_for{60};
    AffinityOptions prefetch;
};

struct AffinityState {
    std::uint64_t orders = 0, ordered_bytes = 0; // to all guests since the start
    std::uint64_t failed_orders = 0;
    std::uint64_t replays = 0, replayed_pages = 0, records = 0;
    double right = 0, wrong = 0; // cells ordered and judged, of late, all guests
};

class AffinityLoop : public GuestObserver {
  public:
    static constexpr std::size_t kMostGuests = 1024; // followed at once

    // guests outlives it.
    AffinityLoop(boost::asio::io_context &io, Guests &guests, AffinityLoopOptions options);
    ~AffinityLoop() override;
    AffinityLoop(const AffinityLoop &) = delete;
    AffinityLoop &operator=(const AffinityLoop &) = delete;

    void stop();
    AffinityState state() const;
    // How alike the other guests of its group are, most similar first.
    std::vector<std::pair<std::string, Similarity>> similar(const std::string &uuid) const;

    void guest_connected(const Guest &guest) override;
    void guest_stats(const Guest &guest) override;
    void guest_profile(const Guest &guest) override;
    void guest_removed(const Guest &guest) override;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace tidemark::daemon
