// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the guest is: evidence, breaks, arrivals. What a stay leaves behind and what is expected of the next:
// phases_memory.cc.
#include "predict/phases.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace tidemark {

namespace {

constexpr std::uint32_t kFewest = 64; // uses before anything is concluded
constexpr double kSure = 20;          // log odds: 5 * 10^8 to 1
constexpr double kInside = 0.9;       // of the uses in a stay, so many are expected in its set
constexpr double kJump = 0.3;         // of the share of novel uses
constexpr double kBurst = 8;          // novel blocks a second against what was usual
constexpr std::uint32_t kFewBlocks = 32;
constexpr std::size_t kPiece = 512, kPieces = 8; // accesses
constexpr double kQuiet = 2;                     // seconds
constexpr double kSmooth = 2;                    // seconds; of the rate of novel blocks

// How much likelier `inside` of `all` blocks are if a set of `size` blocks is in use than by chance.
double log_odds_of(std::uint32_t inside, std::uint32_t all, std::size_t size, std::size_t memory) {
    if (size == 0 || size >= memory)
        return 0;
    const double share = static_cast<double>(size) / static_cast<double>(memory);
    return inside * std::log(kInside / share) +
           (all - inside) * std::log((1 - kInside) / (1 - share));
}

} // namespace

void Phases::Evidence::add(const Evidence &other) {
    uses += other.uses;
    first_touches += other.first_touches;
    blocks += other.blocks;
    novel += other.novel;
    for (std::size_t i = 0; i < kMostPhases; ++i) {
        blocks_of[i] += other.blocks_of[i];
        pages_of[i] += other.pages_of[i];
    }
}

double Phases::unix_seconds() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

Phases::Phases(std::uint32_t pages, std::function<double()> wall_clock)
    : pages_(pages), wall_clock_(std::move(wall_clock)), store_(pages), used_(store_.blocks()),
      out_(store_.blocks()), wasted_(store_.blocks()), unused_(store_.blocks()),
      in_window_(store_.blocks()) {}

// Before anything of the window is noted.
Phases::Evidence Phases::look(const Window &window) {
    Evidence seen;
    for (const Access &access : window.accesses) {
        if (!is_use(access.kind))
            continue;
        std::uint64_t page = access.first.value;
        const std::uint64_t end = std::min<std::uint64_t>(page + access.count, pages_);
        while (page < end) {
            const auto block = static_cast<std::uint32_t>(page / kBlockPages);
            const auto here = static_cast<std::uint32_t>(
                std::min<std::uint64_t>(end, (std::uint64_t{block} + 1) * kBlockPages) - page);
            const std::uint8_t sets = store_.members(block);
            seen.uses += here;
            if (access.kind == AccessKind::first_touch)
                seen.first_touches += here;
            const bool again = in_window_[block];
            for (std::size_t i = 0; i < kMostPhases; ++i)
                if ((sets >> i & 1) != 0) {
                    seen.pages_of[i] += here;
                    seen.blocks_of[i] += !again;
                }
            if (!again) {
                in_window_[block] = true;
                window_blocks_.push_back(block);
                ++seen.blocks;
                seen.novel += !used_.has(block) && (stay_.set < 0 || (sets >> stay_.set & 1) == 0);
            }
            page += here;
        }
    }
    for (const std::uint32_t block : window_blocks_)
        in_window_[block] = false;
    window_blocks_.clear();
    return seen;
}

double Phases::log_odds(const Evidence &evidence, int set) const {
    return log_odds_of(evidence.blocks_of[static_cast<std::size_t>(set)], evidence.blocks,
                       store_.at(set).blocks.size(), store_.blocks());
}

double Phases::log_odds_of_stay(const Evidence &evidence) const {
    std::size_t size = used_.order().size();
    if (stay_.set >= 0)
        size = std::max(size, store_.at(stay_.set).blocks.size());
    return log_odds_of(evidence.blocks - evidence.novel, evidence.blocks, size, store_.blocks());
}

// The known set that explains the evidence, and nothing else does. leaving: nor does the present stay.
int Phases::recognised(const Evidence &evidence, bool leaving) const {
    int best = -1;
    double first = 0, second = 0; // 0: chance
    for (int set = 0; set < kMostPhases; ++set) {
        const Phase &phase = store_.at(set);
        if (!phase.known || set == stay_.set)
            continue;
        const double odds = log_odds(evidence, set);
        if (odds > first) {
            second = first;
            first = odds;
            best = set;
        } else {
            second = std::max(second, odds);
        }
    }
    if (best < 0)
        return -1;
    if (leaving)
        second = std::max(second, log_odds_of_stay(evidence));
    const std::uint32_t enough = std::min(kFewest, std::max(16u, store_.at(best).pages / 50));
    const bool met = evidence.pages_of[static_cast<std::size_t>(best)] >= enough;
    return met && first - second > kSure ? best : -1;
}

bool Phases::breaks(const Evidence &now, double seconds) const {
    if (now.uses < kFewest || stay_.windows == 0)
        return false;
    if (double(now.novel) / now.uses > stay_.novel_uses + kJump ||
        (now.blocks >= kFewBlocks && double(now.novel) / now.blocks > stay_.novel_blocks + kJump))
        return true;
    if (now.novel * 5 < now.blocks * 2)
        return false;
    const double first_touches = double(now.first_touches) / now.uses;
    const bool burst =
        now_ - stay_.last_use >= kQuiet / 2 || now.novel > kBurst * stay_.novel_rate * seconds;
    return (now.novel >= kFewBlocks && burst) ||
           std::abs(first_touches - stay_.first_touches) > 0.8 ||
           (stay_.set >= 0 && log_odds_of_stay(now) < -kSure);
}

// All is quiet, and half of what it used has left DRAM.
bool Phases::deserted() const {
    return stay_.windows > 0 && now_ - stay_.last_use > kQuiet && used_.count() >= kFewest &&
           2 * stay_.absent >= used_.count();
}

// A window in which much happened is looked at piece by piece, so that a change in the midst of it is seen, and
// what belongs to the stay before is not taken for the new one's.
void Phases::observe(const Window &window) {
    const std::size_t pieces = std::clamp<std::size_t>(window.accesses.size() / kPiece, 1, kPieces);
    const std::size_t each = window.accesses.size() / pieces;
    const double end = window.begin + window.seconds;
    Window piece{window.begin, 0, {}, {}};
    for (std::size_t i = 0; i < pieces; ++i) {
        const bool last = i + 1 == pieces;
        piece.accesses =
            last ? window.accesses.subspan(i * each) : window.accesses.subspan(i * each, each);
        const double until = last ? end : window.accesses[(i + 1) * each].ms * 1e-3;
        piece.seconds = std::clamp(until, piece.begin, end) - piece.begin;
        look_at(piece);
        piece.begin += piece.seconds;
    }
    read_wall_clock();
}

void Phases::look_at(const Window &window) {
    now_ = window.begin;
    if (deserted()) {
        leave(stay_.last_use);
        arrive(window.begin, -1, {});
    }
    if (stay_.evidence.uses < kFewest / 4)
        stay_.since = stay_.last_use = window.begin; // it has not really begun
    const Evidence now = look(window);
    Evidence both = now;
    both.add(last_);
    Evidence all = now;
    all.add(stay_.evidence);
    int to = recognised(now, true);
    if (to < 0)
        to = recognised(both, true);
    if (stay_.set < 0 && recognised(all, false) >= 0) {
        settle(recognised(all, false), all);
    } else if (to >= 0) {
        leave(window.begin);
        arrive(window.begin, to, now);
    } else if (breaks(now, window.seconds)) {
        leave(window.begin);
        arrive(window.begin, -1, now);
        // Leaving may have made a set known; the counts are of those known before, which is all that matters.
        if (to = recognised(now, false); to >= 0)
            settle(to, now);
    }
    now_ = window.begin + window.seconds;
    note(window);
    stay_.evidence.add(now);
    smooth(now, window.seconds);
    last_ = now;
}

void Phases::smooth(const Evidence &now, double seconds) {
    const double weight = 1 - std::exp(-seconds / kSmooth);
    const double rate = seconds > 0 ? now.novel / seconds : 0;
    const bool first = stay_.windows == 0;
    stay_.novel_rate += (first ? 1 : weight) * (rate - stay_.novel_rate);
    if (now.uses >= kFewest / 4) {
        stay_.last_use = now_;
        const double part = first ? 1 : 0.5;
        stay_.novel_uses += part * (double(now.novel) / now.uses - stay_.novel_uses);
        stay_.novel_blocks += part * (double(now.novel) / now.blocks - stay_.novel_blocks);
        stay_.first_touches += part * (double(now.first_touches) / now.uses - stay_.first_touches);
    }
    if (now.uses > 0 || !first)
        ++stay_.windows;
}

void Phases::arrive(double when, int set, const Evidence &first) {
    stay_ = Stay{};
    stay_.since = stay_.last_use = when;
    used_.clear();
    last_ = {};
    rest_.set = -1;
    if (set >= 0)
        settle(set, first);
}

// The present stay is one in a known set.
void Phases::settle(int set, const Evidence &evidence) {
    Phase &phase = store_.at(set);
    stay_.set = set;
    stay_.too_wide = false;
    stay_.fit = float(evidence.blocks_of[static_cast<std::size_t>(set)]) / float(evidence.blocks);
    phase.seen = stay_.since;
    if (phase.began && !phase.before_file)
        phase.again.add(stay_.since - *phase.began);
    phase.began = stay_.since;
    phase.before_file = false;
    if (before_ >= 0 && store_.at(before_).known) {
        auto &after = store_.at(before_).followed_by;
        for (float &times : after)
            times *= 0.8f;
        after[static_cast<std::size_t>(set)] += 1;
    }
}

void Phases::note(const Window &window) {
    for (const Access &access : window.accesses) {
        const std::uint64_t end =
            std::min<std::uint64_t>(std::uint64_t{access.first.value} + access.count, pages_);
        for (std::uint64_t page = access.first.value; page < end; ++page)
            if (is_use(access.kind))
                note_use(access, PageIndex{static_cast<std::uint32_t>(page)});
            else if (is_leaving(access.kind))
                note_gone(access, PageIndex{static_cast<std::uint32_t>(page)});
    }
}

void Phases::note_use(const Access &access, PageIndex page) {
    const std::uint32_t block = page.value / kBlockPages;
    const auto bit = static_cast<std::uint16_t>(1u << (page.value % kBlockPages));
    if ((out_[block] & used_.pages(block) & bit) != 0)
        --stay_.absent;
    out_[block] &= static_cast<std::uint16_t>(~bit);
    wasted_[block] &= static_cast<std::uint16_t>(~bit);
    if (access.kind == AccessKind::prefetched && access.origin >= Origin::record) {
        ++stay_.proved;
        ++stay_.brought;
    }
    used_.add(page);
    if (used_.order().size() > store_.most_blocks())
        start_over();
}

// Half of the memory has been used: as if the stay began here, so that a break can still be seen.
void Phases::start_over() {
    used_.clear();
    stay_.absent = 0;
    stay_.evidence = {};
    stay_.novel_uses = stay_.novel_blocks = 1;
    stay_.novel_rate = store_.blocks();
    stay_.set = -1;
    stay_.too_wide = true;
}

void Phases::note_gone(const Access &access, PageIndex page) {
    const std::uint32_t block = page.value / kBlockPages;
    const auto bit = static_cast<std::uint16_t>(1u << (page.value % kBlockPages));
    if ((out_[block] & bit) == 0 && (used_.pages(block) & bit) != 0)
        ++stay_.absent;
    out_[block] |= bit;
    if (access.kind == AccessKind::wasted && access.origin >= Origin::record) {
        wasted_[block] |= bit;
        ++stay_.brought;
    }
}

std::size_t Phases::bytes() const {
    return sizeof(*this) + store_.bytes() + used_.bytes() +
           (out_.capacity() + wasted_.capacity() + unused_.capacity()) * sizeof(out_[0]) +
           in_window_.capacity() / 8 + window_blocks_.capacity() * sizeof(window_blocks_[0]);
}

} // namespace tidemark
