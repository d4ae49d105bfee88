// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a block's pages contain, in 2 KiB: the smallest checksums there are (a bottom-k sketch, Bar-Yossef et al. 2002).
// The smallest of the union of two such are a fair sample of all that either has, and those in both tell which share of it
// is common (Broder 1997). Checksums say nothing of contents to those who do not have them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidemark {

class ContentSketch {
  public:
    static constexpr std::size_t kMost = 256;

    // The same content counts once.
    void add(std::uint64_t checksum) {
        ++pages_;
        if (values_.size() == kMost && checksum >= values_.back())
            return;
        const auto at = std::lower_bound(values_.begin(), values_.end(), checksum);
        if (at != values_.end() && *at == checksum)
            return;
        values_.insert(at, checksum);
        if (values_.size() > kMost)
            values_.pop_back();
    }
    // Ascending; all there are if they are fewer than kMost.
    const std::vector<std::uint64_t> &values() const { return values_; }
    std::uint64_t pages() const { return pages_; } // looked at

  private:
    std::vector<std::uint64_t> values_;
    std::uint64_t pages_ = 0;
};

} // namespace tidemark
