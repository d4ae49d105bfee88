// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/successors.h"

#include <algorithm>

namespace tidemark {

namespace {
constexpr std::uint32_t kFirstWindow = 4;
constexpr int kSkipped =
    8; // pages of the order that may have been in DRAM still, and raised no fault
} // namespace

Successors::Track &Successors::track_of(std::int32_t thread) {
    auto found = std::find_if(tracks_.begin(), tracks_.end(),
                              [thread](const Track &track) { return track.thread == thread; });
    if (found == tracks_.end()) {
        found = std::min_element(tracks_.begin(), tracks_.end(),
                                 [](const Track &a, const Track &b) { return a.used < b.used; });
        *found = Track{};
        found->thread = thread;
    }
    found->used = ++turn_;
    return *found;
}

bool Successors::foretold(const Track &track, std::uint32_t page) const {
    std::uint32_t at = track.last;
    for (int step = 0; step < kSkipped && at != kNone; ++step) {
        at = next_[at];
        if (at == page)
            return true;
    }
    return false;
}

std::uint32_t Successors::look(PageIndex page, std::int32_t thread, std::uint32_t most,
                               std::vector<PageIndex> &expected) {
    Track &track = track_of(thread);
    std::uint32_t needed = 0;
    if (foretold(track, page.value)) {
        ++track.fulfilled;
        needed = track.read;
        track.window =
            track.fulfilled < kBefore ? 0 : std::clamp(track.window * 4, kFirstWindow, kMost);
    } else {
        track.fulfilled = track.window = 0;
        if (track.last != kNone && track.last != page.value)
            next_[track.last] = page.value;
    }
    behind(page, std::min(track.window, most), expected);
    track.read = 0;
    return needed;
}

void Successors::behind(PageIndex page, std::uint32_t most,
                        std::vector<PageIndex> &expected) const {
    std::uint32_t at = page.value;
    for (std::uint32_t i = 0; i < most; ++i) {
        at = next_[at];
        if (at == kNone || at == page.value)
            break;
        expected.push_back(PageIndex{at});
    }
}

void Successors::served(PageIndex page, std::int32_t thread, std::span<const PageIndex> expected,
                        std::uint32_t read) {
    Track &track = track_of(thread);
    track.last = expected.empty() ? page.value : expected.back().value;
    track.read = read;
}

} // namespace tidemark
