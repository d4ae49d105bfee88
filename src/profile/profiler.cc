// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/profiler.h"

#include <algorithm>
#include <cmath>

namespace tidemark {

namespace {

constexpr double kHardlyAny = 0.02; // as little as an idle guest may use, see workload_class.h

// What was read ahead of a walk waits elsewhere, and is no sample of its region.
bool waited_on_probation(Origin origin) {
    return origin != Origin::streams && origin != Origin::successors;
}

} // namespace

Profiler::Profiler(std::uint32_t pages)
    : pages_(pages), regions_(pages), stamps_(pages), refaults_(pages), phases_(pages) {}

void Profiler::note(std::span<const Access> accesses) {
    for (Access access : accesses) {
        if (access.first.value >= pages_ || access.count == 0)
            continue;
        access.count = std::min(access.count, pages_ - access.first.value);
        const PageRun run{access.first, access.count};
        switch (access.kind) {
        case AccessKind::first_touch:
            used(access);
            refaults_.touched(run);
            break;
        case AccessKind::staged:
            used(access);
            regions_.returned(run);
            break;
        case AccessKind::stored:
            used(access);
            refaults_.refault(run, Refaults::Kind::waited);
            break;
        case AccessKind::prefetched:
            used(access);
            refaults_.refault(run, Refaults::Kind::unwaited);
            if (waited_on_probation(access.origin))
                regions_.returned(run);
            break;
        case AccessKind::came_along:
            regions_.returned(run);
            break;
        case AccessKind::left:
            refaults_.left(run, true);
            regions_.left(run);
            break;
        case AccessKind::wasted:
            refaults_.left(run, false);
            regions_.left(run);
            break;
        }
    }
}

void Profiler::used(const Access &access) {
    const PageRun run{access.first, access.count};
    regions_.used(run);
    stamps_.used(run);
    phases_.used(run);
    pattern_.used(access);
}

void Profiler::note_writes(std::uint32_t region, std::uint32_t pages) {
    if (region >= regions_.size())
        return;
    regions_.reported(region, pages);
    written_ += std::min(pages, kRegionPages) * write_life_.weight();
    writes_at_ = now_;
}

void Profiler::note_accessed(std::uint32_t region, std::uint32_t pages) {
    regions_.reported(region, pages);
}

void Profiler::tick(double now, const Residency &residency) {
    if (std::isfinite(now))
        now_ = std::max(now_, now);
    regions_.tick(now_, residency);
    stamps_.tick(now_);
    refaults_.tick(now_);
    pattern_.tick(now_);
    phases_.tick(now_);
    written_ *= write_life_.advance(now_);
    residency_ = residency;
    residency_.resident = residency_.staged = {};
}

WorkloadFeatures Profiler::features(const std::array<WorkingSetSize, 3> &sizes) const {
    const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
    WorkloadFeatures features;
    features.watching = residency_.watching;
    features.active = share(static_cast<double>(sizes[1].estimate_pages),
                            static_cast<double>(residency_.pages()));
    // Any use of what has left DRAM would be seen: where hardly anything is left that could be used in silence, all is
    // tested, though nothing may be on probation any more.
    const bool all_seen =
        residency_.pages() != 0 && static_cast<double>(residency_.resident_pages) <=
                                       kHardlyAny * static_cast<double>(residency_.pages());
    features.tested = all_seen ? 1
                               : share(static_cast<double>(residency_.staged_pages),
                                       static_cast<double>(residency_.dram_pages()));
    features.in_order = pattern_.in_order();
    features.writes = pattern_.refault_write_share();
    features.spread = share(refaults_.quantile(0.75), refaults_.quantile(0.25));
    features.used_pages = pattern_.pages();
    features.refaulted_pages = pattern_.refault_pages();
    return features;
}

void Profiler::report_heat(ProfileReport &report) const {
    report.heat_regions = (regions_.size() + kHeatCells - 1) / kHeatCells;
    for (std::uint32_t r = 0; r < regions_.size(); ++r) {
        if (r % report.heat_regions == 0)
            report.heat.push_back(0);
        report.heat.back() += static_cast<float>(regions_.heat(r));
    }
}

ProfileReport Profiler::report() const {
    using Kind = Refaults::Kind;
    ProfileReport report;
    report.seconds = now_;
    report.watching = residency_.watching;
    report.lost_accesses = lost_;
    report.working_set = stamps_.sizes(regions_);
    report.cold = {regions_.cold(30), regions_.cold(120), regions_.cold(600)};

    report.used_pages_per_second = pattern_.pages_per_second();
    report.locality = pattern_.locality();
    report.in_order = pattern_.in_order();
    report.first_touches = pattern_.first_touch_share();
    report.write_share = pattern_.write_share();
    report.refault_write_share = pattern_.refault_write_share();
    report.writes_reported = now_ - writes_at_ < kReportLasts;
    report.written_pages_per_second = write_life_.per_second(written_);

    const double waits = refaults_.count(Kind::waited), others = refaults_.count(Kind::unwaited);
    report.waits_per_second = refaults_.per_second(Kind::waited);
    report.refaults_per_second = report.waits_per_second + refaults_.per_second(Kind::unwaited);
    for (std::size_t i = 0; i < report.more_dram.size(); ++i) {
        ProfileReport::More &more = report.more_dram[i];
        more.pages = std::uint64_t{pages_} >> (report.more_dram.size() - 1 - i);
        more.saved_waits = refaults_.saved(Kind::waited, more.pages);
        const double saved_others = refaults_.saved(Kind::unwaited, more.pages);
        if (waits + others > 0)
            more.saved_refaults =
                (more.saved_waits * waits + saved_others * others) / (waits + others);
    }

    report.phase = phases_.current();
    report.phases = phases_.phases();
    report.phase_changes = phases_.changes();
    report.phase_seconds = now_ - phases_.changed_at();
    report.phase_changes_per_minute = phases_.changes_per_minute();

    report.features = features(report.working_set);
    report.workload = label_ ? WorkloadGuess{*label_, 1, true} : classify(report.features);
    report_heat(report);
    report.split_regions = regions_.split();
    report.profiler_bytes = bytes();
    return report;
}

std::size_t Profiler::bytes() const {
    return sizeof(*this) + regions_.bytes() + stamps_.bytes() + refaults_.bytes() + phases_.bytes();
}

} // namespace tidemark
