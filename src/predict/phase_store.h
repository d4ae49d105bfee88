// SPDX-License-Identifier: GPL-2.0-or-later
//
// The working sets a guest is known to return to: which pages, in which order they were first used, how long a
// stay lasts, and which set follows.
//
// Pages are kept by blocks of 64 KiB, 16 bits each. At most kMostPhases sets with together at most two entries
// of 8 bytes per block of the memory, plus one byte a block that says which sets have it: 0.03 % of the memory.
// The set not seen for longest goes.
#pragma once

#include "base/units.h"
#include "predict/sealed_bytes.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tidemark {

inline constexpr std::uint32_t kBlockPages = 16;
inline constexpr int kMostPhases = 8;

// Mean and deviation of a quantity, the last few values counting most.
struct Spread {
    std::uint32_t count = 0;
    double mean = 0, variance = 0;

    void add(double value);
    double deviation() const;
};

struct PhaseBlock {
    std::uint32_t block = 0;
    std::uint16_t pages = 0; // bit i: page i of the block belongs to the set
    std::uint16_t doubted =
        0; // of those: not used in the last stay, or new. Unused (again), they go
};

struct Phase {
    bool known = false;
    std::vector<PhaseBlock> blocks; // in the order of first use
    std::uint32_t pages = 0;
    float share = 0;                              // of its pages, how many are used in a stay
    double seen = 0;                              // when it was last returned to
    Spread stay;                                  // seconds
    Spread again;                                 // seconds from one return to the next
    std::optional<double> began;                  // the last return; below 0: before this process
    bool before_file = false;                     // it was: others may have come since, unseen
    std::array<float, kMostPhases> followed_by{}; // how often by each
};

// What was used since the guest came to where it is: bits per block, and blocks in the order of first use.
class Footprint {
  public:
    explicit Footprint(std::uint32_t blocks) : pages_(blocks) {}

    bool has(std::uint32_t block) const { return pages_[block] != 0; }
    std::uint16_t pages(std::uint32_t block) const { return pages_[block]; }
    void add(PageIndex page);
    void clear();
    std::span<const std::uint32_t> order() const { return order_; }
    std::uint32_t count() const { return count_; } // of pages
    std::size_t bytes() const;

  private:
    std::vector<std::uint16_t> pages_;
    std::vector<std::uint32_t> order_;
    std::uint32_t count_ = 0;
};

class PhaseStore {
  public:
    explicit PhaseStore(std::uint32_t pages);

    std::uint32_t blocks() const { return static_cast<std::uint32_t>(members_.size()); }
    // A set of more blocks than this says nothing: it is half of the memory.
    std::uint32_t most_blocks() const { return blocks() / 2; }
    std::uint8_t members(std::uint32_t block) const { return members_[block]; }
    const Phase &at(int phase) const { return phases_[static_cast<std::size_t>(phase)]; }
    Phase &at(int phase) { return phases_[static_cast<std::size_t>(phase)]; }

    // The known set that is mostly the same as the footprint; -1: none.
    int like(const Footprint &footprint) const;
    // Adds a set, for which the one that was not seen for longest may go. The number of the new one.
    int add(const Footprint &footprint, double now);
    // Another stay: what was used joins the set, what was not used though it could be seen is doubted, or goes.
    // False if the set has become too large to be worth anything: it is forgotten.
    bool merge(int phase, const Footprint &used, std::span<const std::uint16_t> unused);
    void forget(int phase);

    // unix_time: of second 0 of the times given here; in files times are those of the wall clock.
    void encode(ByteWriter &out, double unix_time) const;
    // An error if they don't make sense; then nothing has changed.
    Result<void> decode(ByteReader &in, const Seal &seal, double unix_time);
    std::size_t bytes() const;

  private:
    Result<Phase> decode_phase(ByteReader &in, const Seal &seal, double unix_time) const;
    void make_room(std::size_t blocks, int except);
    int longest_unseen(int except) const;

    std::uint32_t pages_;
    std::vector<std::uint8_t> members_; // bit i: the block has pages of set i
    std::array<Phase, kMostPhases> phases_;
};

} // namespace tidemark
