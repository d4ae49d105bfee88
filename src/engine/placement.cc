// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which slots a batch of pages is written to.
//
//   QLC   whole segments, in order
//   NVMe  neighbours (kNeighbours or more pages side by side) go home: to the slots of their own numbers,
//         or over the slots they have. So pages side by side in RAM are side by side on the disk,
//         whenever they were written.
//         Scattered pages are packed: side by side wherever slots are free, away from home if the tier
//         is large enough. A write of one page costs a read that is under way 20 us (measured), one of
//         four or more nothing that shows. Without free slots side by side they too go home.
//
// A page written over its own slot is in S until the write is known to be good.
#include "engine/backend.h"

#include <algorithm>

namespace tidemark {

namespace {
constexpr std::size_t kNeighbours = 8;
constexpr std::uint32_t kPackedLeast = 4; // free slots side by side that are worth packing into
constexpr std::uint32_t kPackedMost = 64;
alignas(kPageSize) std::array<std::byte, kPageSize> g_zero_page{};
} // namespace

void Backend::start_writes(WriteBatch &batch, std::size_t index) {
    batch.tier = index;
    batch.pieces.clear();
    batch.requests.clear();
    batch.pieces.reserve(batch.items.size());
    batch.requests.reserve(batch.items.size());
    if (tiers_[index]->tier_class() == TierClass::qlc) {
        place_packed(batch, 0, kSegmentPages);
    } else {
        const std::size_t scattered = part_scattered(batch);
        for (std::size_t first = 0; first < scattered;)
            first += place_home(batch, first, scattered);
        place_packed(batch, scattered, kPackedLeast);
    }
    for (const WritePiece &piece : batch.pieces) {
        batch.requests.push_back(
            request_for(piece.run, std::span(batch.items).subspan(piece.first, piece.count)));
        batch.requests.back().tag = reinterpret_cast<std::uint64_t>(&batch);
    }
    batch.pending = batch.requests.size();
    std::vector<IoRequest *> started;
    started.reserve(batch.requests.size());
    for (IoRequest &request : batch.requests)
        started.push_back(&request);
    write_queues_[index]->submit(started);
}

// How many items from `first` on can be written home as one piece.
std::size_t Backend::neighbours(const WriteBatch &batch, std::size_t first, std::size_t end) const {
    const auto &items = batch.items;
    const bool owns = items[first].owns_slot_in(batch.tier);
    std::size_t last = first;
    while (last + 1 < end && items[last + 1].owns_slot_in(batch.tier) == owns &&
           (owns ? items[last + 1].own_slot.value == items[last].own_slot.value + 1
                 : items[last + 1].page == items[last].page.next()))
        ++last;
    return last + 1 - first;
}

// Puts the scattered items behind the others; returns where they begin.
std::size_t Backend::part_scattered(WriteBatch &batch) const {
    std::vector<WriteItem> scattered;
    std::size_t kept = 0;
    for (std::size_t first = 0; first < batch.items.size();) {
        const std::size_t count = neighbours(batch, first, batch.items.size());
        for (std::size_t i = first; i < first + count; ++i)
            if (count < kNeighbours)
                scattered.push_back(batch.items[i]);
            else
                batch.items[kept++] = batch.items[i];
        first += count;
    }
    std::copy(scattered.begin(), scattered.end(),
              batch.items.begin() + static_cast<std::ptrdiff_t>(kept));
    return kept;
}

// Over their own slots, else to the slots of their own numbers or, where those are taken, to any.
// Returns how many items are dealt with; without room they stay unplaced.
std::size_t Backend::place_home(WriteBatch &batch, std::size_t first, std::size_t end) {
    WritePiece piece;
    piece.first = first;
    piece.count = neighbours(batch, first, end);
    const WriteItem &item = batch.items[first];
    if (item.owns_slot_in(batch.tier)) {
        piece.run = {item.own_slot, static_cast<std::uint32_t>(piece.count)};
        piece.in_place = true;
        batch.pieces.push_back(piece);
        return piece.count;
    }
    const auto want = static_cast<std::uint32_t>(piece.count);
    const Slot home{item.page.value};
    auto run = tiers_[batch.tier]->allocate(want, home, std::min(want, kPackedLeast));
    if (!run)
        run = tiers_[batch.tier]->allocate(want, home);
    if (!run)
        return piece.count;
    piece.run = *run;
    piece.count = run->count;
    batch.pieces.push_back(piece);
    return piece.count;
}

// Items [first...) side by side, in pieces of `least` slots or more; else home.
void Backend::place_packed(WriteBatch &batch, std::size_t first, std::uint32_t least) {
    Tier &tier = *tiers_[batch.tier];
    const bool segments = tier.tier_class() == TierClass::qlc;
    Slot &next = pack_next_[batch.tier];
    while (first < batch.items.size()) {
        const auto left = static_cast<std::uint32_t>(batch.items.size() - first);
        const std::uint32_t want = segments ? kSegmentPages : std::min(left, kPackedMost);
        const auto run = tier.allocate(want, next, std::min(want, least));
        if (!run && segments)
            return;
        if (!run) {
            first += place_home(batch, first, batch.items.size());
            continue;
        }
        next = run->first.next(run->count);
        batch.pieces.push_back({*run, first, std::min(left, run->count)});
        first += std::min(left, run->count);
    }
}

// A write of `items` (in order) to consecutive slots, from wherever in S they are.
IoRequest Backend::request_for(SlotRun run, std::span<const WriteItem> items) const {
    IoRequest request;
    request.write = true;
    request.offset = run.first.byte_offset();
    for (const WriteItem &item : items) {
        // The request only reads; iovec has no const.
        auto *bytes = const_cast<std::byte *>(memory_->shadow(item.page));
        if (!request.parts.empty() && static_cast<std::byte *>(request.parts.back().iov_base) +
                                              request.parts.back().iov_len ==
                                          bytes)
            request.parts.back().iov_len += kPageSize;
        else
            request.parts.push_back({bytes, kPageSize});
    }
    for (std::size_t i = items.size(); i < run.count; ++i)
        request.parts.push_back({g_zero_page.data(), kPageSize}); // a QLC segment is written whole
    return request;
}

} // namespace tidemark
