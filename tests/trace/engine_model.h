// SPDX-License-Identifier: GPL-2.0-or-later
//
// The engine's decisions without the engine: page states, eviction policy, probation, read-ahead and prefetch of one
// backend, driven by a trace. The policy, the streams and the successors are the engine's own classes; what is
// written down again here is what is between them (engine/eviction.cc, fault_service.cc), with these liberties:
//
//   - disks take no time: what is read ahead is there at once, what is cleaned has left at once
//   - one page at a time: no huge pages, no regions of 2 MiB read ahead of a walk (engine/ahead.cc)
//   - one guest thread; no page is zero
//   - pages leave in batches that are to DRAM as the engine's are with kScale pages of it, for the guests that traces
//     are taken from are small
//
//    untouched --first touch--> resident --coldest--> staged --longest there--> stored
//                                  ^ ^------access------'                        |
//                                  '-----access (the guest waits), prefetch------'
//
// An access to a resident page is not seen, as in life.
#pragma once

#include "engine/access.h"
#include "engine/policy.h"
#include "engine/streams.h"
#include "engine/successors.h"
#include "predict/predictor.h"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace tidemark::trace {

// A predictor that takes part, and how it is told before it is asked how many pages of DRAM are free.
struct Partner {
    Predictor *predictor = nullptr; // not owned; it belongs to one model
    std::function<void(std::uint32_t free)> tell_room;
};

struct ModelOptions {
    PolicyKind policy = PolicyKind::lru;
    std::uint32_t dram = 0; // pages
    bool streams = false, successors = false;
    std::uint32_t staged_share = 0; // in 1/256 of DRAM; 0: the policy's own
    double window_seconds = 0.25;   // between two looks of the predictors
    float confidence = 0.5F;        // less is not brought in
    std::vector<Partner> predictors;
};

struct ModelCounts {
    std::uint64_t accesses = 0, first_touches = 0;
    std::uint64_t refaults = 0; // the guest waited for a tier
    std::uint64_t staged = 0;   // caught on probation
    std::uint64_t left = 0;     // pages that went to a tier
    std::array<std::uint64_t, kOrigins> brought{}, used{}, wasted{};
    std::uint64_t unasked() const;
    std::uint64_t unused() const;
};

class EngineModel {
  public:
    EngineModel(std::uint32_t pages, ModelOptions options);
    void access(std::uint32_t page, bool write, double now);
    const ModelCounts &counts() const { return counts_; }
    std::uint32_t in_dram() const { return charged_; }

  private:
    enum class State : std::uint8_t { untouched, resident, staged, stored };
    struct Page {
        State state = State::untouched;
        std::uint8_t rank = 0;
        Origin origin = Origin::guest; // who had it brought in; guest once it was used
        bool filled = false;           // by zeros ahead of a walk: not yet accessed
    };

    std::uint32_t free_pages() const { return dram_ > charged_ ? dram_ - charged_ : 0; }
    bool raises_fault(PageIndex page) const; // though it was in use before
    bool charge(bool keep_reserve);
    void enter(std::uint32_t page, EnterReason reason);
    void log(std::uint32_t page, AccessKind kind, Origin origin, bool write);

    void first_touch(std::uint32_t page, bool write);
    void take_back(std::uint32_t page, bool write);
    void read(std::uint32_t page, bool write);
    void mark_used(Page &page);

    void make_room();
    bool stage();
    bool clean();
    void age();

    void end_windows(double now);
    void ask(const Partner &partner);

    ModelOptions options_;
    std::uint32_t dram_, batch_, clean_batch_, reserve_low_, reserve_high_, staged_target_;
    std::unique_ptr<EvictionPolicy> policy_;
    Streams streams_;
    Successors successors_;
    std::vector<Page> pages_;
    std::array<std::uint32_t, 256> resident_by_rank_{};
    std::deque<std::uint32_t>
        staged_queue_; // a page taken back and staged again stands in it twice
    std::uint32_t staged_ = 0, charged_ = 0, hand_ = 0;
    std::vector<PageIndex> expected_;
    std::vector<Access> log_;
    std::vector<float> heat_;
    double window_begin_ = 0;
    ModelCounts counts_;
};

} // namespace tidemark::trace
