// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who owns which slot of a tier.
//
// live_ has one bit per slot. full_ has one bit per word of live_: set when no new slot can come
// out of that word, so a search over a nearly full tier looks at 4096 slots per step. The cursor
// walks round (next fit): the place where the last search ended is where free slots are most likely
// to follow.
#include "store/tier.h"

#include "base/check.h"

#include <algorithm>
#include <bit>

namespace tidemark {
namespace {

constexpr std::uint32_t kWordSlots = 64;
constexpr std::uint64_t kAllOnes = ~std::uint64_t{0};
static_assert(kSegmentPages == kWordSlots);

// `count` ones from bit `from` on, inside one word.
constexpr std::uint64_t mask_of(std::uint32_t from, std::uint32_t count) {
    return (count == kWordSlots ? kAllOnes : (std::uint64_t{1} << count) - 1) << from;
}

// How many free slots follow from bit `from` on, inside one word.
std::uint32_t free_from(std::uint64_t word, std::uint32_t from) {
    const std::uint32_t zeros = static_cast<std::uint32_t>(std::countr_zero(word >> from));
    return std::min(zeros, kWordSlots - from);
}

} // namespace

void TierCounters::count_write(std::uint64_t bytes) {
    const std::uint64_t pages = std::max<std::uint64_t>(bytes / kPageSize, 1);
    const std::size_t bucket = static_cast<std::size_t>(std::bit_width(pages)) - 1;
    // Relaxed: statistics, nobody orders anything by them.
    write_sizes[std::min(bucket, kWriteSizeBuckets - 1)].fetch_add(1, std::memory_order_relaxed);
    written_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

Tier::Tier(TierClass tier_class, std::unique_ptr<Disk> disk, std::uint64_t capacity_bytes,
           std::uint64_t write_budget)
    : class_(tier_class), disk_(std::move(disk)), write_budget_(write_budget) {
    std::uint64_t slots = std::min<std::uint64_t>(capacity_bytes / kPageSize, Slot::kNone);
    if (class_ == TierClass::qlc)
        slots -= slots % kSegmentPages;
    capacity_slots_ = static_cast<std::uint32_t>(slots);
    TIDEMARK_CHECK(capacity_slots_ > 0);
    const std::size_t words = (slots + kWordSlots - 1) / kWordSlots;
    live_.resize(words);
    full_.resize((words + kWordSlots - 1) / kWordSlots);
    if (class_ == TierClass::qlc)
        segment_open_.resize(words);
    // What lies past the end is never free.
    if (slots % kWordSlots != 0)
        live_.back() = ~mask_of(0, static_cast<std::uint32_t>(slots % kWordSlots));
    if (words % kWordSlots != 0)
        full_.back() = ~mask_of(0, static_cast<std::uint32_t>(words % kWordSlots));
}

void Tier::mark_full(std::uint32_t word, bool full) {
    const std::uint64_t bit = std::uint64_t{1} << (word % kWordSlots);
    if (full)
        full_[word / kWordSlots] |= bit;
    else
        full_[word / kWordSlots] &= ~bit;
}

// The first word at or after `from`, going round once, that a slot (QLC: a segment) can come out
// of.
std::optional<std::uint32_t> Tier::find_word(std::uint32_t from) const {
    const std::size_t groups = full_.size();
    std::size_t group = from / kWordSlots;
    std::uint64_t open = ~full_[group] & (kAllOnes << (from % kWordSlots));
    // One more step than there are groups: the first one is looked at again for what lies before
    // `from`.
    for (std::size_t step = 0; step <= groups; ++step) {
        if (open != 0)
            return static_cast<std::uint32_t>(group * kWordSlots) +
                   static_cast<std::uint32_t>(std::countr_zero(open));
        group = group + 1 < groups ? group + 1 : 0;
        open = ~full_[group];
    }
    return std::nullopt;
}

// Takes up to `want` free slots from `start` on, across words, and returns how many.
std::uint32_t Tier::take_run(std::uint32_t start, std::uint32_t want) {
    std::uint32_t taken = 0;
    while (taken < want && start + taken < capacity_slots_) {
        const std::uint32_t slot = start + taken;
        const std::uint32_t word = slot / kWordSlots;
        const std::uint32_t bit = slot % kWordSlots;
        const std::uint32_t room = free_from(live_[word], bit);
        const std::uint32_t count = std::min(room, want - taken);
        if (count == 0)
            break;
        live_[word] |= mask_of(bit, count);
        mark_full(word, live_[word] == kAllOnes);
        taken += count;
        if (bit + count < kWordSlots)
            break;
    }
    live_count_ += taken;
    return taken;
}

std::optional<SlotRun> Tier::allocate_run(std::uint32_t want, Slot hint, std::uint32_t least) {
    const bool hinted = hint.valid() && hint.value < capacity_slots_;
    if (hinted && free_run(hint.value, want) >= least)
        return SlotRun{hint, take_run(hint.value, want)};
    // A few places are looked at for a run that is long enough; the longest wins, so a fragmented
    // tier costs a bounded search and not a walk over all of it.
    const int places = least > 1 ? 64 : 8;
    std::uint32_t best_start = 0;
    std::uint32_t best_length = 0;
    std::uint32_t from = (hinted && least > 1 ? hint.value : cursor_) / kWordSlots;
    for (int place = 0; place < places && best_length < want; ++place) {
        const std::optional<std::uint32_t> word = find_word(from);
        if (!word)
            break;
        std::uint64_t used = live_[*word];
        std::uint32_t bit = 0;
        while (bit < kWordSlots && best_length < want) {
            bit += static_cast<std::uint32_t>(std::countr_one(used >> bit));
            if (bit >= kWordSlots)
                break;
            const std::uint32_t start = *word * kWordSlots + bit;
            const std::uint32_t length = free_run(start, want);
            if (length > best_length) {
                best_start = start;
                best_length = length;
            }
            bit += free_from(used, bit);
        }
        from = *word + 1 < live_.size() ? *word + 1 : 0;
    }
    if (best_length < least)
        return std::nullopt;
    const std::uint32_t taken = take_run(best_start, want);
    TIDEMARK_CHECK(taken == best_length);
    cursor_ = best_start + taken < capacity_slots_ ? best_start + taken : 0;
    return SlotRun{Slot{best_start}, taken};
}

// How many free slots follow from `start` on, at most `most`.
std::uint32_t Tier::free_run(std::uint32_t start, std::uint32_t most) const {
    std::uint32_t length = 0;
    while (length < most && start + length < capacity_slots_) {
        const std::uint32_t slot = start + length;
        const std::uint32_t bit = slot % kWordSlots;
        const std::uint32_t room = free_from(live_[slot / kWordSlots], bit);
        length += room;
        if (bit + room < kWordSlots)
            break;
    }
    return std::min(length, most);
}

std::optional<SlotRun> Tier::allocate_segment() {
    const std::optional<std::uint32_t> segment = find_word(cursor_ / kWordSlots);
    if (!segment)
        return std::nullopt;
    TIDEMARK_CHECK(live_[*segment] == 0 && !segment_open_[*segment]);
    live_[*segment] = kAllOnes;
    segment_open_[*segment] = true;
    mark_full(*segment, true);
    live_count_ += kSegmentPages;
    ++open_segments_;
    const std::uint32_t first = *segment * kSegmentPages;
    cursor_ = first + kSegmentPages < capacity_slots_ ? first + kSegmentPages : 0;
    return SlotRun{Slot{first}, kSegmentPages};
}

std::optional<SlotRun> Tier::allocate(std::uint32_t want, Slot hint, std::uint32_t least) {
    TIDEMARK_CHECK(least > 0 && want >= least);
    const MutexLock lock(mutex_);
    if (class_ == TierClass::qlc) {
        TIDEMARK_CHECK(want == kSegmentPages);
        return allocate_segment();
    }
    return allocate_run(want, hint, least);
}

void Tier::release(Slot slot) {
    release(SlotRun{slot, 1});
}

void Tier::release(SlotRun run) {
    const MutexLock lock(mutex_);
    TIDEMARK_CHECK(run.first.value < capacity_slots_ &&
                   run.count <= capacity_slots_ - run.first.value);
    std::uint32_t slot = run.first.value;
    std::uint32_t left = run.count;
    while (left > 0) {
        const std::uint32_t word = slot / kWordSlots;
        const std::uint32_t count = std::min(left, kWordSlots - slot % kWordSlots);
        const std::uint64_t mask = mask_of(slot % kWordSlots, count);
        // A slot released twice would soon belong to two pages.
        TIDEMARK_CHECK((live_[word] & mask) == mask);
        live_[word] &= ~mask;
        live_count_ -= count;
        if (class_ != TierClass::qlc) {
            mark_full(word, false);
        } else if (live_[word] == 0) {
            segment_open_[word] = false;
            --open_segments_;
            mark_full(word, false);
        }
        slot += count;
        left -= count;
    }
}

std::uint32_t Tier::capacity_slots() const {
    return capacity_slots_;
}

std::uint32_t Tier::used_slots() const {
    const MutexLock lock(mutex_);
    return class_ == TierClass::qlc ? open_segments_ * kSegmentPages : live_count_;
}

std::uint32_t Tier::live_slots() const {
    const MutexLock lock(mutex_);
    return live_count_;
}

std::vector<SlotRun> Tier::sparse_segments(std::uint32_t max_live, std::size_t most) const {
    // Counting sort: one pass over the words, emptiest segments first.
    std::array<std::vector<std::uint32_t>, kSegmentPages + 1> by_live;
    const std::uint32_t limit = std::min(max_live, kSegmentPages);
    {
        const MutexLock lock(mutex_);
        if (class_ != TierClass::qlc)
            return {};
        for (std::uint32_t segment = 0; segment < segment_open_.size(); ++segment) {
            const auto live = static_cast<std::uint32_t>(std::popcount(live_[segment]));
            if (live > 0 && live <= limit && by_live[live].size() < most)
                by_live[live].push_back(segment);
        }
    }
    std::vector<SlotRun> found;
    for (const std::vector<std::uint32_t> &segments : by_live) {
        for (const std::uint32_t segment : segments) {
            if (found.size() == most)
                return found;
            found.push_back({Slot{segment * kSegmentPages}, kSegmentPages});
        }
    }
    return found;
}

bool Tier::is_live(Slot slot) const {
    const MutexLock lock(mutex_);
    TIDEMARK_CHECK(slot.value < capacity_slots_);
    return (live_[slot.value / kWordSlots] >> (slot.value % kWordSlots) & 1) != 0;
}

std::uint64_t Tier::metadata_bytes() const {
    const MutexLock lock(mutex_);
    return sizeof(*this) + live_.capacity() * sizeof(live_[0]) +
           full_.capacity() * sizeof(full_[0]) + segment_open_.capacity() / 8;
}

bool Tier::within_budget(std::uint64_t day, std::uint64_t under_way) {
    MutexLock lock(mutex_);
    const std::uint64_t written = counters_.written_bytes;
    if (day > day_) {
        day_ = day;
        written_before_ = written;
    }
    return write_budget_ == 0 || written - written_before_ + under_way < write_budget_;
}

} // namespace tidemark
