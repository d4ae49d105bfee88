// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/landing.h"

#include <algorithm>
#include <array>

namespace tidemark {

namespace {
// Kept free for the reserve and for what passes through, by batches of 2 MiB and several at a time: this part of
// DRAM, or so many pages if they are more, but no more than a quarter.
constexpr std::uint32_t kRoomPart = 16, kRoomLeast = 3 * kRegionPages, kRoomPartMost = 4;
// Of the rest: as much is resident and on probation where there is as much DRAM.
constexpr std::uint32_t kHotShare = 15, kWarmShare = 1, kShares = 16;
constexpr std::size_t kLevels = temperature::hottest + 1u;

// How many of each level get a place, hottest first.
std::array<std::uint32_t, kLevels> share_out(const std::array<std::uint32_t, kLevels> &count,
                                             std::size_t coolest, std::uint32_t places) {
    std::array<std::uint32_t, kLevels> out{};
    for (std::size_t level = kLevels; level-- > coolest;) {
        out[level] = std::min(places, count[level]);
        places -= out[level];
    }
    return out;
}

bool take_one(std::uint32_t &places) {
    if (places == 0)
        return false;
    --places;
    return true;
}
} // namespace

Landing::Landing(std::vector<std::uint8_t> levels, std::uint32_t dram_pages)
    : pages_(std::move(levels)) {
    std::array<std::uint32_t, kLevels> count{};
    for (const std::uint8_t level : pages_)
        ++count[level];
    const std::uint64_t rest = dram_pages - std::min(dram_pages / kRoomPartMost,
                                                     std::max(dram_pages / kRoomPart, kRoomLeast));
    const auto share = [rest](std::uint32_t parts) {
        return static_cast<std::uint32_t>(rest * parts / kShares);
    };
    auto hot = share_out(count, temperature::coolest, share(kHotShare));
    for (std::size_t level = 0; level < kLevels; ++level)
        count[level] -= hot[level];
    auto warm = share_out(count, temperature::probation, share(kWarmShare));
    for (std::uint8_t &page : pages_) {
        const std::uint8_t level = page;
        Warmth where = Warmth::cold;
        if (level == temperature::dense)
            where = Warmth::dense;
        else if (level != temperature::none && take_one(hot[level]))
            where = Warmth::hot;
        else if (level == temperature::none || take_one(warm[level]))
            where = Warmth::warm;
        ++counts_[static_cast<std::size_t>(where)];
        page = static_cast<std::uint8_t>(level | static_cast<unsigned>(where) << kWarmthAt);
    }
}

void Landing::warm(std::span<const std::uint8_t> levels) {
    for (std::uint32_t i = 0; i < std::min(levels.size(), pages_.size()); ++i) {
        const Warmth before = warmth(PageIndex{i});
        if (levels[i] < temperature::coolest || before == Warmth::hot)
            continue;
        --counts_[static_cast<std::size_t>(before)];
        ++counts_[static_cast<std::size_t>(Warmth::hot)];
        pages_[i] =
            static_cast<std::uint8_t>(levels[i] | static_cast<unsigned>(Warmth::hot) << kWarmthAt);
    }
}

std::vector<Landing::Group> Landing::hot_groups() const {
    std::array<std::vector<PageRun>, kLevels> runs;
    for (std::uint32_t i = 0; i < pages_.size(); ++i) {
        const PageIndex page{i};
        if (warmth(page) != Warmth::hot)
            continue;
        std::vector<PageRun> &group = runs[pages_[i] & temperature::hottest];
        if (!group.empty() && group.back().end() == page)
            ++group.back().count;
        else
            group.push_back({page, 1});
    }
    std::vector<Group> out;
    for (std::size_t level = kLevels; level-- > 0;)
        if (!runs[level].empty())
            out.push_back({static_cast<std::uint8_t>(level), std::move(runs[level])});
    return out;
}

} // namespace tidemark
