// SPDX-License-Identifier: GPL-2.0-or-later
//
// How a guest uses its memory, learnt from what the engine sees of it. README.md lists the figures, where each
// comes from, and what it leaves out.
//
//    accesses (faults, probation, prefetched, left) --note()-->  regions, stamps, refaults, pattern, phases
//    where pages are, how time goes on              --tick()-->  the same
//    other sources (dirty bitmaps, RWP)             --note_writes(), note_accessed()-->  regions
//                                                   report()  <--
//
// Not thread-safe, no clock: what is noted counts as of the last tick, so ticks should come a few times a
// second. Memory is bounded and taken at the start: less than half a byte a guest page, see bytes().
#pragma once

#include "engine/access.h"
#include "profile/access_pattern.h"
#include "profile/phase_detector.h"
#include "profile/refaults.h"
#include "profile/regions.h"
#include "profile/residency.h"
#include "profile/use_stamps.h"
#include "profile/workload_class.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tidemark {

// Pages count as 4 KiB; shares are between 0 and 1; rates per second.
struct ProfileReport {
    double seconds = 0;    // of the last tick, since the backend was attached
    bool watching = false; // false: nothing is seen of the guest, the figures are of before
    std::uint64_t lost_accesses =
        0; // seen by the engine, but more than it could keep for the profiler
    std::array<WorkingSetSize, 3> working_set{};
    std::array<ColdSet, 3> cold{};

    // Over some minutes, decayed.
    double used_pages_per_second = 0;
    double locality = 0, in_order = 0, first_touches = 0;
    double write_share = 0, refault_write_share = 0;
    bool writes_reported = false; // by note_writes(), in the last kReportLasts seconds
    double written_pages_per_second = 0;

    // Refaults: pages used again after they had left DRAM; waited: the guest stood still for a read.
    double waits_per_second = 0, refaults_per_second = 0;
    struct More {
        std::uint64_t pages = 0;                    // of DRAM, beyond what there is
        double saved_waits = 0, saved_refaults = 0; // share of them
    };
    std::array<More, 7> more_dram{}; // 1/64, 1/32 ... of the guest's RAM, and all of it

    std::uint32_t phase = 0,
                  phases = 0; // current one, from 1 (0: none seen yet); different ones seen
    std::uint64_t phase_changes = 0;
    double phase_seconds = 0; // since the last change
    double phase_changes_per_minute = 0;

    WorkloadGuess workload;
    WorkloadFeatures features;

    std::vector<float> heat; // of up to kHeatCells equal pieces of the guest's RAM, from its start
    std::uint32_t heat_regions = 0; // regions in a piece; the last may have fewer
    std::uint32_t split_regions = 0;
    std::uint64_t profiler_bytes = 0;
};

class Profiler {
  public:
    static constexpr std::uint32_t kHeatCells = 64;
    static constexpr double kReportLasts = 60; // seconds; sources are asked twice in it, at least

    explicit Profiler(std::uint32_t pages);

    void note(std::span<const Access> accesses);
    // So many of a region's pages were written (WP_ASYNC and PAGEMAP_SCAN, a dirty bitmap) or used (RWP) since the
    // source was asked before.
    void note_writes(std::uint32_t region, std::uint32_t pages);
    void note_accessed(std::uint32_t region, std::uint32_t pages);
    void note_lost(std::uint64_t accesses) { lost_ += accesses; }
    // now: seconds since the backend was attached. A time before the last one counts as the last one.
    void tick(double now, const Residency &residency);

    // Pages seen used per region since the last close_window(): Window::heat of predict/predictor.h.
    const std::vector<float> &window_heat() const { return regions_.window(); }
    void close_window() { regions_.close_window(); }
    // Decayed: pages of the region seen used, and what each page around one has of it.
    double heat(std::uint32_t region) const { return regions_.heat(region); }
    double heat_per_page(PageIndex page) const { return regions_.heat_per_page(page); }
    // Wins over what the profile says; without a value the profile speaks again.
    void set_label(std::optional<WorkloadClass> label) { label_ = label; }

    ProfileReport report() const;
    std::size_t bytes() const;

  private:
    void used(const Access &access);
    WorkloadFeatures features(const std::array<WorkingSetSize, 3> &sizes) const;
    void report_heat(ProfileReport &report) const;

    const std::uint32_t pages_;
    Regions regions_;
    UseStamps stamps_;
    Refaults refaults_;
    AccessPattern pattern_;
    PhaseDetector phases_;
    HalfLife write_life_{AccessPattern::kHalfLife};
    double written_ = 0, writes_at_ = -kReportLasts;
    double now_ = 0;
    std::uint64_t lost_ = 0;
    Residency residency_; // totals only
    std::optional<WorkloadClass> label_;
};

} // namespace tidemark
