// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs the arbiter on the real guests: every `period` it turns stats and profiles into demands, and what comes
// out into grants. A guest that says nothing (not connected, learning off) keeps its limit, and the limit counts.
//
// The most a guest gets is what its operator or its element says ("dram"); without either, all of its memory.
// What is said while it runs holds within a second, whatever the period.
#pragma once

#include "daemon/arbiter.h"
#include "daemon/arbiter_curves.h"
#include "daemon/guests.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tidemark::daemon {

// A domain that was told how much it starts with, and does not run yet.
struct PreparedGuest {
    std::string uuid;
    std::uint64_t memory = 0, limit = 0;
};

struct BudgetOptions {
    std::uint64_t bytes = 0; // of DRAM for all guests
    std::chrono::milliseconds period{5000};
    // Above that share of time in which some task waits for memory (PSI, avg10) nobody is raised.
    double pressed_above = 0.20;
    std::string pressure_file = "/proc/pressure/memory"; // not there: never pressed
    // What the guest's own element asks for, where the limit it was started with is less because DRAM was short.
    std::function<std::optional<std::uint64_t>(const std::string &uuid)> asked_for;
    // All that are prepared; those that run may be among them.
    std::function<std::vector<PreparedGuest>()> prepared;
};

// What is told of it, for /status and /metrics.
struct BudgetState {
    std::uint64_t bytes = 0, limits = 0, floors = 0; // the sums over all guests
    std::uint64_t rounds = 0, raised = 0, lowered = 0;
    std::uint64_t moved_bytes = 0; // up and down
    bool pressed = false;
};

class BudgetLoop : public GuestObserver {
  public:
    // guests outlives it. Observes and starts at once.
    BudgetLoop(boost::asio::io_context &io, Guests &guests, BudgetOptions options);
    ~BudgetLoop() override;
    BudgetLoop(const BudgetLoop &) = delete;
    BudgetLoop &operator=(const BudgetLoop &) = delete;

    void stop();
    void set_budget(std::uint64_t bytes);
    // A guest was prepared: what it starts with is taken from the others now, not in the next round, so that the
    // limits' sum is at no time above the budget.
    void make_room();
    const BudgetState &state() const;

    void guest_connected(const Guest &guest) override;
    void guest_domain_changed(const Guest &guest) override;
    void guest_stats(const Guest &guest) override;
    void guest_removed(const Guest &guest) override;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

// Exposed for tests: one guest's demand. refaults: a second, of late.
UseOfDram use_of_dram(const Guest &guest, double refaults);

} // namespace tidemark::daemon
