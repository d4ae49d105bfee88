// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where each page of an arriving guest goes, by the temperatures its old host has sent and the DRAM there is here.
//
//    hottest ... coolest | those that do not fit, probation | cold   dense     none
//          hot           |         warm, then cold          | cold   dense     warm
//
// Some DRAM is left to pages on probation, and to what arrives that nobody foretold: pages that held nothing when
// the temperatures were taken are new, so the guest is at them. One byte a page.
#pragma once

#include "base/units.h"
#include "base/warmth.h"

#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

class Landing {
  public:
    // levels: one of temperature:: a page. dram_pages: that the block may use.
    Landing(std::vector<std::uint8_t> levels, std::uint32_t dram_pages);

    Warmth warmth(PageIndex page) const {
        return static_cast<Warmth>(pages_[page.value] >> kWarmthAt);
    }
    std::uint32_t count(Warmth warmth) const { return counts_[static_cast<std::size_t>(warmth)]; }

    // levels: of pages that were used while the guest moved, `none` of others; may be empty. They are to be in DRAM, too.
    // While no page is placed.
    void warm(std::span<const std::uint8_t> levels);

    // Pages that are to be in DRAM, in groups of like temperature, hottest first.
    struct Group {
        std::uint8_t level;
        std::vector<PageRun> runs;
    };
    std::vector<Group> hot_groups() const;

  private:
    static constexpr unsigned kWarmthAt = 4;

    std::vector<std::uint8_t> pages_; // temperature, and Warmth above it
    std::uint32_t counts_[4]{};
};

} // namespace tidemark
