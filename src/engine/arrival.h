// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pages that were read before the guest came to them; ahead.cc says when, arrival.cc what becomes of them.
#pragma once

#include "engine/loader.h"
#include "sys/frame.h"

#include <bitset>
#include <chrono>
#include <memory>
#include <vector>

namespace tidemark {

struct Arrival {
    enum class Phase : std::uint8_t {
        idle,    // no region. -> reading
        reading, // begun or waiting to be by the ahead thread, verified by it. -> ready, landing
        ready,   // its pages wait, in state arrived. -> landing
        landing, // whoever set it maps the pages, or drops them. -> idle
    } phase = Phase::idle;
    PageRun region;
    bool go_on = false; // whoever comes to the region walks: read on behind it
    bool whole = false; // every page of the region is in the frame
    std::uint32_t charged = 0;
    std::size_t metadata = 0; // bytes in items and requests
    std::uint64_t turn = 0;
    std::chrono::steady_clock::time_point since; // of ready
    std::bitset<kRegionPages> pages;             // that the frame has for R
    std::bitset<kRegionPages> read;              // items' pages
    PageRun spare; // of S, where the bytes are; count 0: they are in frame
    std::unique_ptr<Frame> frame;
    bool frame_filled = false; // frame has its memory, which is charged
    // The ahead thread's until phase ready:
    std::byte *bytes = nullptr;      // of region
    std::vector<LoadItem> items;     // the pages being read,
    std::vector<IoRequest> requests; // in these pieces,
    std::vector<std::uint8_t> request_tier;
    std::size_t pending = 0; // so many of which are not finished
};

} // namespace tidemark
