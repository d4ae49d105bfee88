// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a stay leaves behind, and what is expected because of it.
#include "predict/phases.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tidemark {

namespace {

constexpr Seal kSeal{"TMPHASE\n", 2, "record of phases"};
constexpr std::uint32_t kFewestPages = 64;
constexpr double kClockSet = 2;        // seconds off: it was set, or the host slept
constexpr double kClosed = 0.1;        // share of novel blocks
constexpr std::uint32_t kReserve = 16; // part of DRAM that is kept free or on probation
constexpr std::uint32_t kFewestProofs = 16;
constexpr std::uint32_t kHelped = 16; // parts of what was used
constexpr float kNewShare = 0.5f;     // weight of the newest share
constexpr double kIrregular = 0.2;    // deviation to mean, beyond which no end is foreseen
constexpr double kLongestLead = 5;    // seconds
constexpr float kLeast = 0.2f;        // what is less likely is not named
constexpr double kSoon = 2;    // seconds in which a set that is named is used at the earliest
constexpr double kNoIdea = 10; // seconds for a stay of which no length is known

std::uint32_t count_of(unsigned pages) {
    return static_cast<std::uint32_t>(std::popcount(pages));
}

bool regular(const Spread &spread) {
    return spread.count >= 2 && spread.deviation() <= kIrregular * spread.mean;
}

} // namespace

// A stay in something unknown ends: its pages become a known set, or add to the one they are mostly the same as.
int Phases::keep_unknown() {
    // Of a stay that used half of the memory, what it used since then is a set if it was all it used.
    if ((stay_.too_wide && stay_.novel_blocks > kClosed) || stay_.windows < 2 ||
        used_.count() < kFewestPages)
        return -1;
    int set = store_.like(used_);
    if (set >= 0)
        return store_.merge(set, used_, {}) ? set : -1;
    if (before_ >= 0)
        store_.at(before_).seen = now_; // it is not the one that goes
    set = store_.add(used_, stay_.since);
    if (next_.set == set)
        next_.set = -1; // it was another set's number
    return set;
}

// So much was brought in ahead that what the guest did not ask for says nothing. The few pages of a trial don't.
bool Phases::helped() const {
    return kHelped * stay_.brought > used_.count();
}

// What was brought in ahead for the stay before this one has been used or has left by now, most of it.
void Phases::judge_before() {
    if (before_ < 0 || !before_helped_)
        return;
    std::uint32_t wasted = 0;
    for (const PhaseBlock &one : store_.at(before_).blocks) {
        unused_[one.block] = wasted_[one.block];
        wasted += count_of(static_cast<unsigned>(one.pages & wasted_[one.block]));
        if (stay_.set < 0 || (store_.members(one.block) >> stay_.set & 1) == 0)
            wasted_[one.block] = 0;
    }
    if (before_proved_ + wasted >= kFewestProofs) {
        float &share = store_.at(before_).share;
        share += kNewShare * (float(before_proved_) / float(before_proved_ + wasted) - share);
    }
    const Footprint nothing(store_.blocks());
    if (!store_.merge(before_, nothing, unused_))
        before_ = -1;
}

// A stay in a known set ends. If next to nothing was brought in ahead, all that was in a tier and needed has been seen.
void Phases::judge_stay() {
    if (!helped()) {
        std::uint32_t used = 0, unused = 0;
        for (const PhaseBlock &one : store_.at(stay_.set).blocks) {
            unused_[one.block] =
                static_cast<std::uint16_t>(out_[one.block] & ~used_.pages(one.block));
            used += count_of(static_cast<unsigned>(one.pages & used_.pages(one.block)));
            unused += count_of(static_cast<unsigned>(one.pages & unused_[one.block]));
        }
        float &share = store_.at(stay_.set).share;
        if (used + unused > 0)
            share += kNewShare * (float(used) / float(used + unused) - share);
    }
    const std::span<const std::uint16_t> none;
    if (!store_.merge(stay_.set, used_, helped() ? none : std::span(unused_)))
        stay_.set = -1;
}

void Phases::leave(double when) {
    judge_before();
    const bool unknown = stay_.set < 0;
    if (unknown) {
        if (const int set = keep_unknown(); set >= 0) {
            Evidence own; // all of it fits
            own.blocks = own.blocks_of[static_cast<std::size_t>(set)] = 1;
            settle(set, own);
        }
    } else {
        judge_stay();
    }
    if (stay_.set >= 0)
        store_.at(stay_.set).stay.add(std::max(0.0, when - stay_.since));
    before_ = stay_.set;
    before_proved_ = stay_.proved;
    before_helped_ = helped();
}

void Phases::expect(std::vector<Expectation> &out) {
    if (stay_.set >= 0 && !stay_.named)
        expect_rest();
    if (next_.set < 0)
        expect_next();
    const std::size_t before = out.size();
    name(rest_, kMostRuns, out);
    name(next_, kMostRuns - std::min(kMostRuns, out.size() - before), out);
}

void Phases::expect_rest() {
    const Phase &phase = store_.at(stay_.set);
    const Spread &stay = phase.stay;
    const double end = stay.count > 0 ? stay_.since + stay.mean + 2 * stay.deviation() : 0;
    rest_ = {stay_.set, 0, phase.share * stay_.fit,
             std::max(end, now_ + (stay.count > 0 ? kSoon : kNoIdea)), UINT32_MAX};
    stay_.named = true;
    if (next_.set == stay_.set)
        next_.set = -1;
}

// When the next stay in the set is to begin, if it is time to prepare for it; else 0.
double Phases::due(int set, float &confidence) const {
    const auto soon = [this, &confidence](double start, const Spread &spread, double likely) {
        const double spare = 2 * spread.deviation();
        const double lead =
            std::min({spare + 0.05 * spread.mean + 0.25, 0.25 * spread.mean, kLongestLead});
        const double when = start + spread.mean;
        const double sure = likely * (1 - spare / std::max(spread.mean, 1e-9));
        if (now_ < when - lead || now_ > when + spare || sure <= confidence)
            return 0.0;
        confidence = static_cast<float>(sure);
        return when + spare;
    };
    double when = 0;
    if (stay_.set >= 0 && regular(store_.at(stay_.set).stay)) {
        const auto &after = store_.at(stay_.set).followed_by;
        float all = 0.5f; // what was seen once is not sure
        for (const float times : after)
            all += times;
        when = soon(stay_.since, store_.at(stay_.set).stay,
                    double(after[static_cast<std::size_t>(set)] / all));
    }
    const Phase &phase = store_.at(set);
    if (!regular(phase.again) || !phase.began || phase.again.mean <= 0)
        return when;
    // Returns that nobody was there to see have passed.
    const double since = now_ - *phase.began - 2 * phase.again.deviation();
    const double missed =
        phase.before_file ? std::max(0.0, std::floor(since / phase.again.mean)) : 0;
    return std::max(when, soon(*phase.began + missed * phase.again.mean, phase.again, 1));
}

// For pages of another set, without driving out those of the present one.
std::uint32_t Phases::room_beside() const {
    std::uint32_t taken = used_.count();
    if (stay_.set >= 0)
        taken = std::max(taken, store_.at(stay_.set).pages);
    taken += room_ / kReserve;
    return room_ > taken ? room_ - taken : 0;
}

void Phases::expect_next() {
    const std::uint32_t room = room_beside();
    if (room < kFewestPages)
        return;
    for (int set = 0; set < kMostPhases; ++set) {
        const Phase &phase = store_.at(set);
        if (!phase.known || set == stay_.set || (stay_.named_next >> set & 1) != 0)
            continue;
        // A small part would be the oldest in DRAM when the rest comes, and the first to go.
        if (2 * room < phase.pages)
            continue;
        float confidence = 0;
        const double begins = due(set, confidence);
        confidence *= phase.share;
        if (begins == 0 || confidence < kLeast ||
            (next_.set >= 0 && confidence <= next_.confidence))
            continue;
        next_ = {set, 0, confidence, begins + phase.stay.mean, room};
    }
    if (next_.set >= 0)
        stay_.named_next |= static_cast<std::uint8_t>(1u << next_.set);
}

// Runs of pages of the set that were not used in this stay, in the order of first use.
void Phases::name(Naming &naming, std::size_t most, std::vector<Expectation> &out) const {
    if (naming.set < 0)
        return;
    const Phase &phase = store_.at(naming.set);
    PageRun run;
    const auto finish = [&] {
        if (run.count > 0)
            out.push_back({run, naming.confidence, naming.until});
        run.count = 0;
    };
    const std::size_t full = out.size() + most;
    // A block may take as many as eight.
    while (naming.next < phase.blocks.size() && naming.most > 0 &&
           out.size() + kBlockPages / 2 < full) {
        const PhaseBlock &one = phase.blocks[naming.next++];
        const unsigned pages = one.pages & ~unsigned{used_.pages(one.block)};
        for (std::uint32_t i = 0; i < kBlockPages; ++i) {
            if ((pages >> i & 1) == 0 || naming.most == 0)
                continue;
            --naming.most;
            const PageIndex page{one.block * kBlockPages + i};
            if (run.count > 0 && run.end() == page) {
                ++run.count;
            } else {
                finish();
                run = {page, 1};
            }
        }
    }
    finish();
    if (naming.next == phase.blocks.size() || naming.most == 0 || now_ > naming.until)
        naming.set = -1;
}

// Windows are told of with delay, now more, now less. That must not change the times of what was loaded.
void Phases::read_wall_clock() {
    const double start = wall_clock_() - now_;
    if (std::abs(start - unix_start_) > kClockSet)
        unix_start_ = start;
}

std::vector<std::byte> Phases::save() const {
    bool any = false;
    for (int set = 0; set < kMostPhases; ++set)
        any = any || store_.at(set).known;
    if (!any)
        return {};
    ByteWriter out;
    store_.encode(out, unix_start_);
    return out.sealed(kSeal);
}

Result<void> Phases::restore(std::span<const std::byte> bytes) {
    auto content = open_sealed(bytes, kSeal);
    if (!content)
        return tl::unexpected<Error>(content.error());
    read_wall_clock();
    if (auto decoded = store_.decode(*content, kSeal, unix_start_); !decoded)
        return decoded;
    before_ = -1;
    rest_ = next_ = {};
    arrive(now_, -1, {});
    return {};
}

} // namespace tidemark
