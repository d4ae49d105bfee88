// SPDX-License-Identifier: GPL-2.0-or-later
//
// A few thousand pages whose bytes are hashed whenever a look finds them written: if the hash is the one from
// before, the write changed nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tidemark {

struct PageName {
    std::uint32_t block = 0;
    std::uint64_t page = 0;
    bool operator==(const PageName &) const = default;
};

struct PageHash {
    std::uint64_t lo = 0, hi = 0;
    bool operator==(const PageHash &) const = default;
};

class SilentSamples {
  public:
    SilentSamples();
    // A look that found a page: it may be hashed after it.
    void begin_look() { wanted_.clear(); }
    void written(PageName page) {
        Slot &slot = slot_of(page);
        if (slot.page != page && slot.used && ++slot.kept < kOutlives)
            return;
        want(slot, page);
    }
    // Which to hash now; each is named once a look.
    std::size_t choose(std::span<PageName> pages);
    // True or false: same as before or not. None: there is nothing to compare it with.
    std::optional<bool> hashed(PageName page, PageHash hash);
    void forget_block(std::uint32_t block);

    std::uint64_t taken() const { return taken_; }
    std::uint64_t same() const { return same_; }
    std::size_t bytes() const;

  private:
    static constexpr std::size_t kSlotBits = 12, kSlots = 1 << kSlotBits, kWanted = 1024;
    static constexpr std::uint8_t kOutlives = 8; // other pages that want its slot
    struct Slot {
        PageName page;
        PageHash hash;
        bool used = false, has_hash = false;
        std::uint8_t kept = 0; // how many others it has outlived; it goes after a few
    };
    Slot &slot_of(PageName page) {
        // Neighbours are not to keep each other out, nor pages a power of two apart.
        return slots_[(page.page + page.block) * 0x9e3779b97f4a7c15 >> (64 - kSlotBits)];
    }
    void want(Slot &slot, PageName page);

    std::vector<Slot> slots_;
    std::vector<PageName> wanted_; // written in this look, to be hashed
    std::uint64_t random_ = 0x9e3779b97f4a7c15, seen_ = 0;
    std::uint64_t taken_ = 0, same_ = 0;
};

} // namespace tidemark
