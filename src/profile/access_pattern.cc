// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/access_pattern.h"

namespace tidemark {

void AccessPattern::used(const Access &access) {
    const PageRun run{access.first, access.count};
    bool near = false, in_order = false;
    for (const PageRun last : recent_) {
        if (last.count == 0)
            continue;
        const std::uint32_t from = last.first.value - std::min(last.first.value, kNear);
        near = near || (run.first.value >= from && run.first.value < last.end().value + kNear);
        in_order =
            in_order || (run.first >= last.end() && run.first.value < last.end().value + kNear);
    }
    recent_[next_] = run;
    next_ = (next_ + 1) % kRecent;

    const double weight = life_.weight();
    const double pages = run.count * weight;
    const bool first_touch = access.kind == AccessKind::first_touch;
    // The zeros around a first touch are no accesses of the guest: they say nothing about its order.
    const double behind = first_touch && !in_order ? 0 : pages - weight;
    pages_ += pages;
    near_ += pages - (near ? 0 : weight);
    in_order_ += behind + (in_order ? weight : 0);
    first_touched_ += first_touch ? pages : 0;
    if (access.kind == AccessKind::prefetched)
        return; // seen used, but not by a fault that says how
    faulted_ += pages;
    written_ += access.write ? pages : 0;
    refaulted_ += first_touch ? 0 : pages;
    rewritten_ += !first_touch && access.write ? pages : 0;
}

void AccessPattern::tick(double now) {
    if (const double factor = life_.advance(now); factor != 1)
        for (double *sum : {&pages_, &near_, &in_order_, &first_touched_, &faulted_, &written_,
                            &refaulted_, &rewritten_})
            *sum *= factor;
}

} // namespace tidemark
