// SPDX-License-Identifier: GPL-2.0-or-later
//
// The thread that learns from one backend, and has done for it what it has learnt.
//
//    Backend::take_accesses() --> Profiler --> Window, every 250 ms --> Tournament of the predictors
//                                                                           |
//                                       Backend::prefetch() <---- orders ---'
//
// It is never on the path of a fault: a slow learner loses accesses, and the guest nothing.
#pragma once

#include "base/mutex.h"
#include "engine/backend.h"
#include "predict/network.h"
#include "predict/phases.h"
#include "predict/tournament.h"
#include "profile/profiler.h"
#include "sys/thread.h"

#include <optional>
#include <vector>

namespace tidemark {

class Learner {
  public:
    // The backend is attached, and lives longer.
    explicit Learner(Backend &backend);
    ~Learner();

    struct Report {
        ProfileReport profile;
        std::vector<Standing> standings;
        std::uint64_t bytes = 0;
        double cpu_seconds = 0;
        std::uint32_t horizon = 0; // the network's, in seconds
    };
    // nullopt while the backend is not to be learnt from.
    std::optional<Report> report();
    bool learning();
    // Pages of each 2 MiB that the guest has written since the last call, from somebody who sees resident ones too.
    void note_writes(std::span<const std::uint16_t> regions);
    // Wins over what the profile says.
    void set_label(std::optional<WorkloadClass> label);
    // What the predictors know, for a file.
    std::vector<std::byte> save();
    // Fails with a sentence, and leaves everything as it was, if the bytes are not what save() gave for a block of
    // this size. What a network learnt for another horizon is left out.
    Result<void> restore(std::span<const std::byte> bytes);

  private:
    void main();
    // Waits for the end of the window, taking in what comes. False: it is time to end.
    bool gather();
    std::vector<Order> learn() TIDEMARK_REQUIRES(mutex_);
    void look_ahead(std::uint32_t seconds) TIDEMARK_REQUIRES(mutex_);
    Residency residency(const BackendGlance &report);
    void take_writes() TIDEMARK_REQUIRES(mutex_);
    Result<void> restore_network(std::span<const std::byte> bytes) TIDEMARK_REQUIRES(mutex_);
    void order(std::span<const Order> orders);

    Backend &backend_;
    // The thread's own.
    std::vector<Access> taken_, window_;
    std::vector<std::uint16_t> resident_, probation_;
    std::vector<std::uint16_t> writes_taken_;
    double began_ = 0; // the window
    std::uint64_t lost_ = 0;

    Mutex
        writes_mutex_; // below mutex_: who tells of writes must not wait for what is learnt from them
    std::vector<std::uint16_t> writes_ TIDEMARK_GUARDED_BY(writes_mutex_); // since the last window
    bool writes_told_ TIDEMARK_GUARDED_BY(writes_mutex_) = false;

    Mutex mutex_;
    bool stopping_ TIDEMARK_GUARDED_BY(mutex_) = false;
    bool on_ TIDEMARK_GUARDED_BY(mutex_) = false;
    std::uint32_t allowed_ TIDEMARK_GUARDED_BY(mutex_) = kAllPredictors; // in the tournament
    double cpu_seconds_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::size_t own_bytes_ TIDEMARK_GUARDED_BY(mutex_) = 0; // of taken_ and window_, as they were
    Profiler profiler_ TIDEMARK_GUARDED_BY(mutex_);
    Phases phases_ TIDEMARK_GUARDED_BY(mutex_);
    std::unique_ptr<Network> network_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint32_t horizon_ TIDEMARK_GUARDED_BY(mutex_) = 0; // the network's, in seconds
    Tournament tournament_ TIDEMARK_GUARDED_BY(mutex_);
    std::optional<Thread> thread_; // last member: joined first
};

} // namespace tidemark
