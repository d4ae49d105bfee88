// SPDX-License-Identifier: GPL-2.0-or-later
//
// How warm a page is: as one host tells another when the guest moves there, and what that means for where the
// page goes.
#pragma once

#include <cstdint>

namespace tidemark {

// 4 bits a page. Each is warmer than the one before.
namespace temperature {
inline constexpr std::uint8_t none = 0;      // holds nothing but zeros
inline constexpr std::uint8_t dense = 1;     // in a slow tier
inline constexpr std::uint8_t cold = 2;      // in a fast one
inline constexpr std::uint8_t probation = 3; // in DRAM, about to leave
inline constexpr std::uint8_t coolest = 4;   // in the guest's reach, and next to leave it
inline constexpr std::uint8_t hottest = 15;  // used last, or most
} // namespace temperature

// Where an arriving page goes.
enum class Warmth : std::uint8_t {
    dense, // to QLC
    cold,  // to NVMe
    warm,  // to DRAM, out of the guest's sight: its first use costs no read
    hot,   // into the guest's memory
};

} // namespace tidemark
