// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/units.h"
#include "store/tier.h"

#include <cstring>
#include <xxhash.h>

namespace tidemark {

std::uint64_t page_checksum(const std::byte *page) {
    const std::uint64_t hash = XXH3_64bits(page, kPageSize);
    // 0 is kept for "no checksum"; one value in 2^64 shares its neighbour's.
    return hash != 0 ? hash : 1;
}

bool page_is_zero(const std::byte *page) {
    // Most pages that are not zero say so in the first bytes.
    constexpr std::size_t kHead = 16;
    std::uint64_t head[kHead / sizeof(std::uint64_t)];
    std::memcpy(head, page, kHead);
    if ((head[0] | head[1]) != 0)
        return false;
    // A page whose start is zero and which equals itself shifted by that start is zero throughout.
    return std::memcmp(page, page + kHead, kPageSize - kHead) == 0;
}

} // namespace tidemark
