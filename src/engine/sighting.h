// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a reader that changes nothing (cold_reader.h) is told of a page, at one moment.
#pragma once

#include "engine/loader.h"

namespace tidemark {

struct Sighting {
    enum class Place : std::uint8_t {
        unknown,
        mapped, // in R
        zero,   // holds zeros, or nothing
        copied, // was in DRAM, but not in R: `copy` has its bytes
        stored, // in a slot: item
        lost,   // cannot be read back: error
    } place = Place::unknown;
    int error = 0;
    PageIndex page;
    std::uint32_t index = 0;   // the caller's
    std::byte *copy = nullptr; // a page to copy to
    LoadItem item;
};

} // namespace tidemark
