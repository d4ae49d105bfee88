// SPDX-License-Identifier: GPL-2.0-or-later
//
// The seeded random numbers of the fakes: the same seed gives the same numbers on every machine.
#pragma once

#include <cstdint>

namespace tidemark {

// One step of a 64-bit linear congruential generator with the high bits mixed down.
inline std::uint64_t next_random(std::uint64_t &state) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::uint64_t value = state;
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    return value ^ (value >> 33);
}

inline bool chance(std::uint64_t &state, std::uint32_t per_mille) {
    return next_random(state) % 1000 < per_mille;
}

} // namespace tidemark
