// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/precopy.h"

#include "base/units.h"

#include <bit>

namespace tidemark {

namespace {

// Syncs: not rarer than this while the guest runs, nor closer, and never for more than a 20th of the time.
constexpr Nanos kSyncRarest = kSecond, kSyncClosest = kSecond / 10;
constexpr Nanos kSyncCostShare = 20;
// With an older plan, what has been written since matters as much as what is predicted.
constexpr Nanos kFresh = 3 * kSecond / 20;
constexpr double kSlack = 0.015; // seconds, for the sync itself and what surrounds it
constexpr double kAim = 0.8;     // of what may be left: some more will be written by then
constexpr double kAimCloser = 0.85, kAimLeast = 0.1;
constexpr std::uint32_t kPushes = 8, kFarther = 4, kMostPatience = 64, kOnceAfter = 16; // plans
constexpr double kLevel = 0.01; // seconds: the first timed level
constexpr double kOctave = 12;  // levels

std::uint64_t word_of(const Waiting &waiting, std::uint64_t stripe) {
    std::uint64_t bits = waiting.bits[stripe];
    if (const std::uint64_t end = waiting.pages - stripe * kStripePages; end < kStripePages)
        bits &= (std::uint64_t{1} << end) - 1;
    return bits;
}

std::uint64_t stripes_of(std::uint64_t pages) {
    return (pages + kStripePages - 1) / kStripePages;
}

} // namespace

Precopy::Block::Block(std::uint64_t pages)
    : levels(pages), planned(pages / kStripePages), sent(pages / kStripePages),
      open(pages / kStripePages), advised(pages / kStripePages), hashes(pages) {}

Precopy::Precopy(Writes &writes, const PrecopyTerms &terms, Nanos now)
    : writes_(writes), terms_(terms), moment_(writes, now), planned_at_(now), now_(now),
      sync_at_(now), bandwidth_(terms.bandwidth), aim_(kAim) {
    for (std::size_t block = 0; block < blocks_.size(); ++block)
        if (writes.has(block))
            add_block(block);
}

void Precopy::add_block(std::size_t block) {
    blocks_[block].emplace(writes_.pages(block));
}

Precopy::Block *Precopy::block_of(const PageName &page) {
    if (page.block >= blocks_.size() || !blocks_[page.block] ||
        page.page >= blocks_[page.block]->levels.size())
        return nullptr;
    return &*blocks_[page.block];
}

Precopy::Level Precopy::level_of(double seconds) {
    if (seconds <= kLevel)
        return 0;
    const double level = 1 + kOctave * std::log2(seconds / kLevel);
    return static_cast<Level>(std::min<double>(level, kMostTimed));
}

std::array<double, 256> Precopy::make_seconds() {
    std::array<double, 256> seconds{};
    for (std::size_t level = 1; level < seconds.size(); ++level)
        seconds[level] = kLevel * std::exp2((static_cast<double>(level) - 1) / kOctave);
    return seconds;
}

double Precopy::seconds_of(Level level) {
    static const std::array<double, 256> seconds = make_seconds();
    return seconds[level];
}

Precopy::Level Precopy::level_of(const NextWrite &next) {
    if (next.silent)
        return kSilent;
    return next.seconds == NextWrite::kNever ? kNeverWritten
                                             : level_of(static_cast<double>(next.seconds));
}

// Made when first asked for, once a plan.
std::span<const Precopy::Level> Precopy::levels(std::size_t index, std::uint64_t stripe) {
    Block &block = *blocks_[index];
    const auto found = block.levels.all().subspan(stripe * kStripePages, kStripePages);
    if (block.planned[stripe] != plan_) {
        const StripeForecast forecast = forecast_stripe(writes_.stripe(index, stripe), moment_);
        std::transform(forecast.begin(), forecast.end(), found.begin(),
                       [](const NextWrite &next) { return level_of(next); });
        block.planned[stripe] = plan_;
    }
    return found;
}

bool Precopy::may_go(Level level) const {
    return pushes_ != 0 || (level >= lowest_ && (level > passed_ || level > kMostTimed));
}

std::uint64_t Precopy::eligible_bits(std::size_t index, std::uint64_t stripe, std::uint64_t bits,
                                     bool first) {
    if (bits == 0 || terms_.observe_only)
        return bits;
    const auto found = levels(index, stripe);
    const std::uint64_t anyway = once_ ? bits & ~blocks_[index]->sent[stripe] : 0;
    std::uint64_t eligible = 0;
    for (std::uint64_t left = bits; left != 0 && !(first && eligible != 0); left &= left - 1) {
        const unsigned i = static_cast<unsigned>(std::countr_zero(left));
        if (may_go(found[i]) || (anyway >> i & 1) != 0)
            eligible |= std::uint64_t{1} << i;
        else if (found[i] <= passed_)
            over_ = true;
        else
            candidate_ = std::max(candidate_, found[i]);
    }
    return eligible;
}

std::uint64_t Precopy::next(const Waiting &waiting, std::uint64_t from) {
    const std::uint64_t stripes = stripes_of(waiting.pages);
    for (std::uint64_t stripe = from / kStripePages; stripe < stripes; ++stripe) {
        std::uint64_t bits = word_of(waiting, stripe);
        if (stripe == from / kStripePages)
            bits &= ~std::uint64_t{0} << from % kStripePages;
        const std::uint64_t eligible = eligible_bits(waiting.block, stripe, bits, true);
        if (eligible != 0) {
            const auto first = static_cast<unsigned>(std::countr_zero(eligible));
            const std::uint64_t before = (std::uint64_t{1} << first) - 1;
            skipped_over_ += static_cast<unsigned>(std::popcount(bits & before));
            return stripe * kStripePages + first;
        }
        skipped_over_ += static_cast<unsigned>(std::popcount(bits));
    }
    return waiting.pages;
}

std::uint64_t Precopy::eligible(const Waiting &waiting) {
    std::uint64_t sum = 0;
    for (std::uint64_t stripe = 0; stripe < stripes_of(waiting.pages); ++stripe)
        sum += static_cast<unsigned>(
            std::popcount(eligible_bits(waiting.block, stripe, word_of(waiting, stripe), false)));
    return sum;
}

std::uint64_t Precopy::due(const Waiting &waiting) {
    const Block &block = *blocks_[waiting.block];
    std::uint64_t sum = 0;
    for (std::uint64_t stripe = 0; stripe < stripes_of(waiting.pages); ++stripe) {
        const std::uint64_t bits = word_of(waiting, stripe);
        if (bits == 0)
            continue;
        sum += static_cast<unsigned>(std::popcount(bits));
        if (!block.hashes.any(stripe) || terms_.observe_only)
            continue;
        const auto found = levels(waiting.block, stripe);
        for (std::uint64_t left = bits; left != 0; left &= left - 1) {
            const unsigned i = static_cast<unsigned>(std::countr_zero(left));
            sum -= found[i] == kSilent && block.hashes.find(stripe * kStripePages + i) != nullptr;
        }
    }
    return sum;
}

double Precopy::pages_per_second() const {
    return static_cast<double>(bandwidth_) / kPageSize;
}

double Precopy::may_stay() const {
    if (room_ != 0)
        return static_cast<double>(room_) / kPageSize;
    return pages_per_second() * static_cast<double>(terms_.downtime_limit) * 1e-9;
}

double Precopy::seconds_to_stop() const {
    if (bandwidth_ == 0)
        return 0;
    const double too_many = static_cast<double>(left_) - aim_ * may_stay();
    return kSlack + std::max(too_many, 0.0) / pages_per_second();
}

bool Precopy::worth(Level level) const {
    if (level > kMostTimed)
        return true;
    const double passed = static_cast<double>(now_ - planned_at_) * 1e-9;
    return seconds_of(level) - passed >= seconds_to_stop();
}

// What is left is sent anyway, while the guest runs or while it stands still.
bool Precopy::stays_clean(Level level) const {
    if (level > kMostTimed)
        return true;
    const double passed = static_cast<double>(now_ - planned_at_) * 1e-9;
    return bandwidth_ != 0 &&
           seconds_of(level) - passed >= kSlack + static_cast<double>(left_) / pages_per_second();
}

void Precopy::set_now(Nanos now) {
    now_ = std::max(now_, now);
    passed_ = level_of(static_cast<double>(now_ - planned_at_) * 1e-9);
}

void Precopy::search_again() {
    candidate_ = 0;
    over_ = false;
    counts_.deferred = skipped_over_;
    skipped_over_ = 0;
}

void Precopy::synced(Nanos now, std::uint64_t bytes_per_second, std::uint64_t left) {
    ++counts_.syncs;
    ++plan_;
    if (bytes_per_second != 0)
        bandwidth_ = bytes_per_second;
    left_ = left;
    missed_ = reached_; // as long as nobody says that the guest was stopped
    reached_ = false;
    now_ = planned_at_ = now;
    sync_cost_ = now - std::min(now, writes_.looked());
    moment_ = WritesMoment(writes_, now);
    set_now(now);
    lowest_ = kNeverWritten;
    waited_ = false;
    pushes_ -= pushes_ != 0;
    search_again();
    const auto to_stop = static_cast<Nanos>(seconds_to_stop() * 1e9 / 3);
    const Nanos closest = std::max(kSyncClosest, kSyncCostShare * sync_cost_);
    sync_at_ = now + std::max(std::min(to_stop, kSyncRarest), closest);
}

PrecopyStep Precopy::advance(Nanos now) {
    set_now(now);
    if (missed_)
        aim_ = std::max(aim_ * kAimCloser, kAimLeast);
    missed_ = false;
    const Level candidate = candidate_;
    const bool over = over_;
    search_again();
    const Nanos age = now_ - planned_at_;
    const bool stale = age > std::max(kFresh, kSyncCostShare * sync_cost_);
    if (candidate > kMostTimed) {
        lowest_ = candidate;
        return PrecopyStep::more;
    }
    const bool few = static_cast<double>(left_) <= aim_ * may_stay();
    if (candidate == 0 ? over && age > kSyncClosest : !few && worth(candidate) && stale) {
        sync_at_ = now_;
        return PrecopyStep::sync;
    }
    if (few) {
        reached_ = true;
        sync_at_ = now_;
        if (candidate == 0 || !stays_clean(candidate))
            return PrecopyStep::wait;
        lowest_ = candidate;
        return PrecopyStep::more;
    }
    if (candidate == 0 || !worth(candidate))
        return wait_or_push(candidate);
    lowest_ = candidate;
    return PrecopyStep::more;
}

PrecopyStep Precopy::wait_or_push(Level candidate) {
    waits_ += !waited_;
    waited_ = true;
    // Twice what may stay is more than can ever be got below it by sending it faster than it is written.
    const bool hopeless = static_cast<double>(left_) >= 2 * may_stay();
    const bool close = seconds_of(candidate) >= seconds_to_stop() / 2;
    if (waits_ >= (close ? 1 : kFarther) * patience_ && pushes_ == 0 && !hopeless) {
        waits_ = 0;
        patience_ = std::min(2 * patience_, kMostPatience);
        pushes_ = kPushes;
        return PrecopyStep::more;
    }
    if (waits_ >= kOnceAfter && hopeless && !once_) {
        once_ = true;
        return PrecopyStep::more;
    }
    sync_at_ = std::min(sync_at_, now_ + kSyncClosest);
    return PrecopyStep::wait;
}

void Precopy::written(std::size_t index, std::uint64_t first,
                      std::span<const unsigned long> words) {
    if (index >= blocks_.size() || !blocks_[index])
        return;
    Block &block = *blocks_[index];
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::uint64_t stripe = first / kStripePages + i;
        if (stripe >= block.open.size())
            return;
        const std::uint64_t again = words[i] & block.open[stripe];
        const std::uint64_t advised = again & block.advised[stripe];
        counts_.advised_rewritten += static_cast<unsigned>(std::popcount(advised));
        counts_.against_rewritten += static_cast<unsigned>(std::popcount(again & ~advised));
        block.open[stripe] &= ~again;
    }
}

void Precopy::note_sent(Block &block, PageName page, Nanos now) {
    set_now(now);
    const std::uint64_t stripe = page.page / kStripePages;
    const std::uint64_t bit = std::uint64_t{1} << page.page % kStripePages;
    const bool advised = worth(levels(page.block, stripe)[page.page % kStripePages]);
    ++counts_.sent;
    counts_.resent += (block.sent[stripe] & bit) != 0;
    ++(advised ? counts_.advised : counts_.against);
    block.sent[stripe] |= bit;
    block.open[stripe] |= bit;
    block.advised[stripe] = advised ? block.advised[stripe] | bit : block.advised[stripe] & ~bit;
    left_ -= left_ != 0;
}

void Precopy::sent(PageName page, Nanos now) {
    if (Block *block = block_of(page); block != nullptr) {
        block->hashes.forget(page.page);
        note_sent(*block, page, now);
    }
}

bool Precopy::wants_copy(PageName page) {
    const Block *block = block_of(page);
    if (block == nullptr || terms_.observe_only)
        return false;
    const std::uint64_t stripe = page.page / kStripePages, i = page.page % kStripePages;
    // Sent before and written since: if the write was silent it shows from the second time on.
    return (block->sent[stripe] >> i & 1) != 0 || levels(page.block, stripe)[i] == kSilent;
}

bool Precopy::unchanged(PageName page, PageHash hash) {
    const Block *block = block_of(page);
    const PageHash *known = block == nullptr ? nullptr : block->hashes.find(page.page);
    if (known == nullptr)
        return false;
    const bool same = *known == hash;
    writes_.compared(page, same);
    if (same) {
        ++counts_.skipped;
        left_ -= left_ != 0;
    }
    return same;
}

void Precopy::sent_copy(PageName page, PageHash hash, Nanos now) {
    if (Block *block = block_of(page); block != nullptr) {
        block->hashes.keep(page.page, hash);
        note_sent(*block, page, now);
    }
}

std::size_t Precopy::bytes() const {
    std::size_t sum = sizeof(*this);
    for (const auto &block : blocks_)
        if (block)
            sum += block->levels.bytes() + block->planned.bytes() + block->sent.bytes() +
                   block->open.bytes() + block->advised.bytes() + block->hashes.bytes();
    return sum;
}

} // namespace tidemark
