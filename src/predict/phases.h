// SPDX-License-Identifier: GPL-2.0-or-later
//
// Working sets a guest returns to: the steps of a job that runs again and again, day and night. Once a set
// is recognised, all of it is expected; and when stays are regular, as much of the next one as there is room for before it begins.
//
//      uses that fit the present set, or none (all of it is in DRAM)
//              .------.
//              v      |           a break
//    stay in a known set --------------------> stay in something unknown ---.
//       ^  ^                                        |          ^            | more than half of the
//       |  '---- all its uses fit a known set ------'          |            | memory: not worth
//       |                                              a break |            v keeping
//       '---- the uses of one or two windows fit it -----------'---> its pages become a known set
//
// - "Fit": each 64 KiB block used in a window is evidence for the sets that contain it and against those that
//   don't, by how likely it was under each, and under none (sequential probability ratio, Wald 1945). A set is
//   recognised at odds of 10^8 to 1 and 64 pages (or 2 % of it) met; so traffic that is spread over the memory,
//   uniform or zipf, is not taken for a return.
// - "A break": the share of uses that are new in this stay falls as a stay goes on, and jumps at its end; or
//   they are new after a silence; or first touches end; or the uses fit chance better than the present set.
// - A stay also ends when all is quiet and half of its pages have left DRAM. It lasted until its last use.
// - A set that returns regularly is expected when its time comes, also if the process has ended and begun meanwhile:
//   what is saved has the wall clock's time of the last return.
// - A set is expected once per stay. Windows are to be 1 s or less; stays may last a second or days.
// - Memory: 30 bytes per 64 KiB (0.05 %) at most, without what one call of expect() returns.
//
// Too small to be recognised: sets of fewer than 64 pages.
#pragma once

#include "predict/phase_store.h"
#include "predict/predictor.h"

#include <functional>

namespace tidemark {

class Phases final : public Predictor {
  public:
    // A call of expect() appends so many runs at most; the rest of a set comes with the next calls.
    static constexpr std::size_t kMostRuns = 8192;

    // pages: of the block of memory. wall_clock: seconds since 1970.
    explicit Phases(std::uint32_t pages, std::function<double()> wall_clock = unix_seconds);

    Origin origin() const override { return Origin::phases; }
    std::string_view name() const override { return "phases"; }
    void observe(const Window &window) override;
    void expect(std::vector<Expectation> &out) override;
    std::vector<std::byte> save() const override;
    Result<void> restore(std::span<const std::byte> bytes) override;
    std::size_t bytes() const override;

    // Pages of DRAM the guest may use. Of the next set only as much is named ahead of its time as fits beside the
    // present one; nothing while this is not known.
    void set_room(std::uint32_t pages) { room_ = pages; }
    // The known set the guest is in; -1: none of them.
    int present() const { return stay_.set; }
    const PhaseStore &store() const { return store_; }

    static double unix_seconds();

  private:
    // What one window, or some, say. A block counts once a window.
    struct Evidence {
        std::uint32_t uses = 0, first_touches = 0; // pages
        std::uint32_t blocks = 0, novel = 0;       // novel: not used in this stay, nor of its set
        std::array<std::uint32_t, kMostPhases> blocks_of{}, pages_of{}; // of each set

        void add(const Evidence &other);
    };
    struct Stay {
        int set = -1;
        double since = 0, last_use = 0;
        std::uint32_t windows = 0;
        Evidence evidence;     // of all its windows
        float fit = 0;         // the share of it that fitted when the set was recognised
        bool too_wide = false; // nothing of it will be kept
        bool named = false;
        std::uint8_t named_next = 0; // a bit per set
        // Smoothed: shares of the uses and of the blocks, novel blocks a second.
        double novel_uses = 1, novel_blocks = 1, first_touches = 0, novel_rate = 0;
        std::uint32_t absent = 0;  // pages used in this stay that have left since
        std::uint32_t proved = 0;  // pages that had been brought in ahead, and were used
        std::uint32_t brought = 0; // and all of which it is known by now whether they were
    };
    // A set that is being named, some runs at a time.
    struct Naming {
        int set = -1;
        std::size_t next = 0;
        float confidence = 0;
        double until = 0;
        std::uint32_t most = UINT32_MAX; // pages
    };

    void look_at(const Window &piece);
    Evidence look(const Window &window);
    void note(const Window &window);
    void note_use(const Access &access, PageIndex page);
    void note_gone(const Access &access, PageIndex page);
    double log_odds(const Evidence &evidence, int set) const;
    double log_odds_of_stay(const Evidence &evidence) const;
    int recognised(const Evidence &evidence, bool leaving) const;
    bool breaks(const Evidence &now, double seconds) const;
    bool deserted() const;

    void leave(double when);
    int keep_unknown();
    bool helped() const;
    void judge_before();
    void judge_stay();
    void arrive(double when, int set, const Evidence &first);
    void settle(int set, const Evidence &evidence);
    void smooth(const Evidence &now, double seconds);
    void start_over();
    void read_wall_clock();

    void expect_rest();
    void expect_next();
    double due(int set, float &confidence) const;
    std::uint32_t room_beside() const;
    void name(Naming &naming, std::size_t most, std::vector<Expectation> &out) const;

    std::uint32_t pages_;
    std::function<double()> wall_clock_;
    std::uint32_t room_ = 0;
    PhaseStore store_;
    double now_ = 0;        // end of the last window
    double unix_start_ = 0; // when our clock was 0, by the wall clock
    Stay stay_;
    Footprint used_; // in this stay
    Evidence last_;  // of the last window
    Naming rest_, next_;

    int before_ = -1; // the set of the stay before this one
    std::uint32_t before_proved_ = 0;
    bool before_helped_ = false;
    std::vector<std::uint16_t> out_;    // per block: pages that left DRAM, not used since
    std::vector<std::uint16_t> wasted_; // per block: brought in ahead, left unused, not used since
    std::vector<std::uint16_t> unused_; // scratch
    std::vector<bool> in_window_;       // scratch of look()
    std::vector<std::uint32_t> window_blocks_;
};

} // namespace tidemark
