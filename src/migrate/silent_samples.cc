// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/silent_samples.h"

#include <algorithm>

namespace tidemark {

namespace {

std::uint64_t mixed(std::uint64_t value) {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccd;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53;
    return value ^ value >> 33;
}

} // namespace

SilentSamples::SilentSamples() : slots_(kSlots) {
    wanted_.reserve(kWanted);
}

// The slot is the page's, or is now.
void SilentSamples::want(Slot &slot, PageName page) {
    if (slot.page != page || !slot.used)
        slot = {page, {}, true, false, 0};
    slot.kept = 0;
    if (wanted_.empty())
        seen_ = 0;
    ++seen_;
    if (wanted_.size() < kWanted) {
        wanted_.push_back(page);
        return;
    }
    random_ = mixed(random_ + seen_);
    if (const std::uint64_t place = random_ % seen_; place < kWanted)
        wanted_[place] = page;
}

std::size_t SilentSamples::choose(std::span<PageName> pages) {
    const std::size_t count = std::min(pages.size(), wanted_.size());
    for (std::size_t i = 0; i < count; ++i) {
        random_ = mixed(random_ + i);
        std::swap(wanted_[random_ % wanted_.size()], wanted_.back());
        pages[i] = wanted_.back();
        wanted_.pop_back();
    }
    return count;
}

std::optional<bool> SilentSamples::hashed(PageName page, PageHash hash) {
    Slot &slot = slot_of(page);
    if (!slot.used || slot.page != page)
        return std::nullopt;
    const bool had = slot.has_hash, same = had && slot.hash == hash;
    slot.hash = hash;
    slot.has_hash = true;
    ++taken_;
    same_ += same;
    return had ? std::optional(same) : std::nullopt;
}

void SilentSamples::forget_block(std::uint32_t block) {
    for (Slot &slot : slots_)
        if (slot.page.block == block)
            slot = {};
    std::erase_if(wanted_, [block](const PageName &page) { return page.block == block; });
}

std::size_t SilentSamples::bytes() const {
    return slots_.capacity() * sizeof(Slot) + wanted_.capacity() * sizeof(PageName);
}

} // namespace tidemark
