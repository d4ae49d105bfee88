// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/writes.h"

#include "base/check.h"
#include "base/units.h"

#include <algorithm>
#include <bit>

namespace tidemark {

namespace {

// What a look costs the guest, per page it finds: the page is write-protected again, and its next write is caught.
constexpr double kPageCost = 2000;  // ns
constexpr double kCostShare = 0.01; // of all time
constexpr Nanos kShortest = kSecond / 10, kLongest = 30 * kSecond;
// One look that finds more than all others (a guest that boots, or fills its memory) must not make the next ones rare.
// A guest that goes on like that is believed within some looks.
constexpr double kCostJump = 4;
// A look that comes so many times later than wanted tells nothing of gaps that earlier ones have shown finer.
constexpr Nanos kLate = 4;
constexpr Nanos kShortLook = kSecond / 40; // the least after which one look follows another closely
constexpr std::uint64_t kShortEvery = 8;   // looks
// A look further back than this says too little about when the pages were written.
constexpr Nanos kCoversMost = 2 * kLongest;
// Each page is seen to in this time, so that no stamp grows older than its clock goes.
constexpr Nanos kAgeRound = kTick * 8192;

} // namespace

Writes::Writes(Nanos now)
    : start_(now), looked_(now), cost_(kCostShare * static_cast<double>(kShortest)),
      period_(kShortest) {}

Writes::Block::Block(std::uint64_t count)
    : pages((count + kStripePages - 1) / kStripePages * kStripePages),
      found((count + kRegionPages - 1) / kRegionPages) {}

void Writes::add_block(std::size_t block, std::uint64_t pages) {
    blocks_[block].emplace(pages);
}

void Writes::remove_block(std::size_t block) {
    blocks_[block].reset();
    samples_.forget_block(static_cast<std::uint32_t>(block));
}

std::uint64_t Writes::all_pages() const {
    std::uint64_t sum = 0;
    for (const auto &block : blocks_)
        sum += block ? block->pages.size() : 0;
    return sum;
}

std::span<const PageWrites> Writes::stripe(std::size_t block, std::uint64_t index) const {
    return blocks_[block]->pages.all().subspan(index * kStripePages, kStripePages);
}

void Writes::begin(Nanos now) {
    const Nanos passed = now > looked_ ? now - looked_ : 0;
    age(passed);
    counts_ = !baseline_ && passed > 0 && passed <= kCoversMost;
    baseline_ = false;
    looked_ = now;
    began_ = now;
    coverage_ = passed;
    late_ = passed > kLate * period_;
    covered_ = static_cast<std::uint32_t>(std::min(passed, kCoversMost) / kTick);
    written_ = 0;
    for (auto &block : blocks_)
        if (block)
            std::fill(block->found.begin(), block->found.end(), std::uint16_t{0});
    // On average a page was written in the middle of the time that the look covers. Two looks in a row may have
    // the same stamp if they are short.
    before_ = counts_ ? stamp_ : Stamp{0};
    stamp_ = stamp(now - passed / 2);
    samples_.begin_look();
}

void Writes::dirty(std::size_t index, std::uint64_t first, std::span<const unsigned long> words) {
    static_assert(sizeof(unsigned long) * 8 == kStripePages);
    if (!has(index) || began_ == 0 || first % kStripePages != 0)
        return;
    Block &block = *blocks_[index];
    block.told = true;
    if (!counts_ || block.fresh)
        return;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::uint64_t base = first + i * kStripePages;
        if (base >= block.pages.size())
            return;
        block.found[base / kRegionPages] = static_cast<std::uint16_t>(std::min<int>(
            kRegionPages, block.found[base / kRegionPages] + std::popcount(words[i])));
        for (unsigned long left = words[i]; left != 0; left &= left - 1) {
            const std::uint64_t page = base + static_cast<unsigned>(std::countr_zero(left));
            note(block.pages[page]);
            samples_.written({static_cast<std::uint32_t>(index), page});
            ++written_;
        }
    }
}

std::span<const std::uint16_t> Writes::found(std::size_t block) const {
    return counts_ && has(block) ? std::span(blocks_[block]->found)
                                 : std::span<const std::uint16_t>();
}

void Writes::note(PageWrites &page) {
    if (page.last() != 0)
        note_gap(page, ticks_between(page.last(), stamp_));
    page.set_last(stamp_);
}

void Writes::note_gap(PageWrites &page, std::uint32_t gap) {
    if (late_ && page.gaps() != 0 && covered_ * kTickSeconds * 2 >= SpanCode::seconds(page.span()))
        return;
    if (page.last() == before_ || gap == 0) {
        // Found by both of two looks in a row: the gap is no longer than the look, as far as chance goes. That can
        // only shorten what is known.
        const std::uint8_t code = SpanCode::of_ticks(std::min(gap, covered_));
        if (page.gaps() == 0)
            page.set_span(code);
        else if (code < page.span())
            page.set_span(static_cast<std::uint8_t>((page.span() + code) / 2));
        page.count_gap();
        page.set_agreed(0);
        return;
    }
    const std::uint8_t code = SpanCode::of_ticks(gap);
    census_.count(code);
    if (page.gaps() == 0) {
        page.set_span(code);
        page.count_gap();
        return;
    }
    // The look blurs both ends of the gap: by so many steps of its code, about.
    const std::uint32_t blur = 2 + SpanCode::kOctave * 3 / 2 * covered_ / gap;
    const auto apart = static_cast<std::uint32_t>(std::abs(code - page.span()));
    const bool agrees = covered_ * 2 < gap && apart <= blur;
    page.set_agreed(agrees ? page.agreed() + 1 : page.agreed() / 2);
    const double old = SpanCode::seconds(page.span()), now = gap * kTickSeconds;
    const double share = agrees ? 0.5 : 1.0 / (std::min(page.gaps(), 3u) + 1);
    page.set_span(SpanCode::of_seconds(old + share * (now - old)));
    page.count_gap();
}

Nanos Writes::end(Nanos now) {
    if (began_ == 0)
        return period_;
    const double cost = static_cast<double>(now > began_ ? now - began_ : 0) +
                        kPageCost * static_cast<double>(written_);
    began_ = 0;
    for (auto &block : blocks_)
        if (block && block->told)
            block->fresh = block->told = false;
    if (!counts_)
        return period_;
    ++looks_;
    learnt_ += coverage_;
    const double seconds = static_cast<double>(coverage_) * 1e-9;
    census_.forget(seconds);
    const double share = std::min(1.0, seconds / 2); // rates are those of the last seconds
    written_per_second_ += share * (static_cast<double>(written_) / seconds - written_per_second_);
    cost_ += 0.25 * (std::min(cost, kCostJump * cost_) - cost_);
    period_ = std::clamp(static_cast<Nanos>(cost_ / kCostShare), kShortest, kLongest);
    if (looks_ % kShortEvery != 0)
        return period_;
    return std::max(period_ / 8, kShortLook);
}

void Writes::hashed(PageName page, PageHash hash) {
    if (const auto same = samples_.hashed(page, hash); same)
        compared(page, *same);
}

void Writes::compared(PageName page, bool same) {
    if (has(page.block) && page.page < pages(page.block))
        blocks_[page.block]->pages[page.page].compared(same);
}

std::optional<double> Writes::sweep_seconds() const {
    return census_.common(static_cast<double>(period_) * 0.5e-9);
}

// Lets stamps go that are about to be overtaken by the clock. Called before time moves on: pages are judged by
// the clock of the last look and by how much will have passed.
void Writes::age(Nanos passed) {
    if (passed >= kAgeRound) {
        const std::uint32_t ticks =
            static_cast<std::uint32_t>(std::min<Nanos>(passed / kTick, kStampOld));
        for (auto &block : blocks_)
            if (block)
                age_pages(block->pages.all(), kStampOld - ticks);
        return;
    }
    const std::uint64_t all = all_pages();
    age_owed_ +=
        static_cast<double>(all) * static_cast<double>(passed) / static_cast<double>(kAgeRound);
    while (age_owed_ >= 1 && all != 0) {
        auto &block = blocks_[age_block_];
        const std::uint64_t size = block ? block->pages.size() : 0;
        if (age_page_ >= size) {
            age_block_ = (age_block_ + 1) % kBlocks;
            age_page_ = 0;
            continue;
        }
        const std::uint64_t count =
            std::min(size - age_page_, static_cast<std::uint64_t>(age_owed_));
        age_pages(block->pages.all().subspan(age_page_, count), kStampOld);
        age_page_ += count;
        age_owed_ -= static_cast<double>(count);
    }
}

void Writes::age_pages(std::span<PageWrites> pages, std::uint32_t older_than) {
    const Stamp now = stamp(looked_);
    for (PageWrites &page : pages)
        if (page.last() != 0 && ticks_between(page.last(), now) >= older_than) {
            // It was written: that must not be forgotten with the stamp.
            if (page.gaps() == 0) {
                page.set_span(SpanCode::of_ticks(kStampOld));
                page.count_gap();
            }
            page.set_last(0);
        }
}

std::size_t Writes::bytes() const {
    std::size_t sum = sizeof(*this) + samples_.bytes();
    for (const auto &block : blocks_)
        sum += block ? block->pages.bytes() + block->found.capacity() * sizeof(block->found[0]) : 0;
    return sum;
}

} // namespace tidemark
