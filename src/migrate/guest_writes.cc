// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/guest_writes.h"

#include "base/units.h"

#include <xxhash.h>

namespace tidemark {

namespace {

constexpr std::uint64_t kMostStripes = 16384; // looked at for a summary

void add(WritesSummary &sum, const StripeForecast &forecast, float hot) {
    for (const NextWrite &next : forecast) {
        ++sum.pages;
        sum.never += next.never;
        sum.hot += !next.never && next.seconds <= hot;
        sum.regular += next.regular;
        sum.silent += next.silent;
    }
}

} // namespace

WritesSummary summarize(const Writes &writes) {
    WritesSummary sum;
    const WritesMoment moment(writes, writes.looked());
    const auto hot = static_cast<float>(static_cast<double>(writes.period()) * 2e-9);
    const std::uint64_t all = writes.all_pages();
    const std::uint64_t step = 1 + all / kStripePages / kMostStripes;
    for (std::size_t block = 0; block < Writes::kBlocks; ++block)
        for (std::uint64_t i = 0; writes.has(block) && i < writes.pages(block) / kStripePages;
             i += step)
            add(sum, forecast_stripe(writes.stripe(block, i), moment), hot);
    const double share =
        sum.pages == 0 ? 0 : static_cast<double>(all) / static_cast<double>(sum.pages);
    for (std::uint64_t *count : {&sum.never, &sum.hot, &sum.regular, &sum.silent})
        *count = static_cast<std::uint64_t>(std::llround(static_cast<double>(*count) * share));
    sum.pages = all;
    return sum;
}

PageHash hash_page(const std::byte *page, std::uint64_t seed) {
    const XXH128_hash_t hash = XXH3_128bits_withSeed(page, kPageSize, seed);
    return {hash.low64, hash.high64};
}

} // namespace tidemark
