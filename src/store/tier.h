// SPDX-License-Identifier: GPL-2.0-or-later
//
// One tier: a disk cut into page-sized slots, and who may write where.
//
//   NVMe: any free slot. Runs are kept together: allocate() gives up to `want` consecutive slots, near
//         `hint` if it can, so that pages evicted side by side are read back in one piece.
//   QLC:  segments of kSegmentPages, written whole and in order (>= 256 KiB each); slots freed inside a
//         segment come back only when the whole segment is empty.
//
// Slots are the caller's bookkeeping: the tier does not know which page is where. All calls are
// thread-safe (own small lock, taken below every engine lock). Checksums are XXH3-64 over 4096 bytes,
// never 0 (0 means "no checksum").
#pragma once

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "sys/disk.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace tidemark {

enum class TierClass : std::uint8_t {
    nvme = 1, // fast flash: slots of any number
    qlc = 2,  // dense flash: whole segments only
};

struct SlotRun {
    Slot first;
    std::uint32_t count = 0;
};

inline constexpr std::uint32_t kSegmentPages = 64; // 256 KiB
inline constexpr std::size_t kWriteSizeBuckets = 12;

std::uint64_t page_checksum(const std::byte *page);
bool page_is_zero(const std::byte *page);

struct TierCounters {
    std::atomic<std::uint64_t> read_bytes{0}, written_bytes{0};
    std::atomic<std::uint64_t> read_errors{0}, write_errors{0}, checksum_errors{0};
    std::array<std::atomic<std::uint64_t>, kWriteSizeBuckets> write_sizes{}; // [2^b, 2^(b+1)) pages
    void count_write(std::uint64_t bytes);
};

class Tier {
  public:
    // write_budget: bytes a day, 0: no bound.
    Tier(TierClass tier_class, std::unique_ptr<Disk> disk, std::uint64_t capacity_bytes,
         std::uint64_t write_budget = 0);

    // Up to `want` consecutive free slots, at least `least`. nullopt if full or, with `least` above 1, if
    // the next few thousand slots from the hint on have no such run. QLC: want is kSegmentPages and the
    // run is a whole empty segment.
    std::optional<SlotRun> allocate(std::uint32_t want, Slot hint, std::uint32_t least = 1);
    void release(Slot slot);
    void release(SlotRun run);

    std::uint32_t capacity_slots() const;
    std::uint32_t
    used_slots() const; // allocated and not released (QLC: dead slots of a live segment count)
    std::uint32_t live_slots() const; // allocated and not released (QLC: without the dead ones)
    // QLC: segments whose live slots are at most `max_live` (and not 0), emptiest first, for compaction.
    std::vector<SlotRun> sparse_segments(std::uint32_t max_live, std::size_t most) const;
    bool is_live(Slot slot) const;
    // May those write who could as well do without? Those who can't are counted, not asked. day: any count of days
    // that goes up; under_way: bytes that are being written and not counted yet.
    bool within_budget(std::uint64_t day, std::uint64_t under_way = 0);

    TierClass tier_class() const { return class_; }
    Disk &disk() { return *disk_; }
    TierCounters &counters() { return counters_; }
    std::uint64_t metadata_bytes() const;

    // A write failed: no new pages until a probe write succeeds.
    std::atomic<bool> degraded{false};

  private:
    void mark_full(std::uint32_t word, bool full) TIDEMARK_REQUIRES(mutex_);
    std::optional<std::uint32_t> find_word(std::uint32_t from) const TIDEMARK_REQUIRES(mutex_);
    std::uint32_t free_run(std::uint32_t start, std::uint32_t most) const TIDEMARK_REQUIRES(mutex_);
    std::uint32_t take_run(std::uint32_t start, std::uint32_t want) TIDEMARK_REQUIRES(mutex_);
    std::optional<SlotRun> allocate_run(std::uint32_t want, Slot hint, std::uint32_t least)
        TIDEMARK_REQUIRES(mutex_);
    std::optional<SlotRun> allocate_segment() TIDEMARK_REQUIRES(mutex_);

    TierClass class_;
    std::unique_ptr<Disk> disk_;
    std::uint32_t capacity_slots_;
    const std::uint64_t write_budget_;
    TierCounters counters_;
    mutable Mutex mutex_;
    // One bit per slot, 1 = live. Words of 64: a QLC segment is one word.
    std::vector<std::uint64_t> live_ TIDEMARK_GUARDED_BY(mutex_);
    // One bit per word of live_, 1 = nothing to be had there.
    std::vector<std::uint64_t> full_ TIDEMARK_GUARDED_BY(mutex_);
    // QLC: the segment holds (dead or live) data.
    std::vector<bool> segment_open_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint32_t live_count_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint32_t open_segments_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint32_t cursor_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint64_t day_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint64_t written_before_ TIDEMARK_GUARDED_BY(mutex_) = 0; // that day, in bytes
};

} // namespace tidemark
