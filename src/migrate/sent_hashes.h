// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the destination of a precopy is known to have: hashes of pages as they were last sent from a stable copy.
// 16 bytes a page, in stripes of 64 pages, of those stripes that have any.
#pragma once

#include "migrate/silent_samples.h"

#include <array>
#include <memory>
#include <vector>

namespace tidemark {

class SentHashes {
  public:
    SentHashes() = default;
    explicit SentHashes(std::uint64_t pages) : stripes_((pages + kPages - 1) / kPages) {}

    const PageHash *find(std::uint64_t page) const {
        const auto &stripe = stripes_[page / kPages];
        return stripe && (stripe->valid >> page % kPages & 1) != 0 ? &stripe->hashes[page % kPages]
                                                                   : nullptr;
    }
    void keep(std::uint64_t page, PageHash hash) {
        auto &stripe = stripes_[page / kPages];
        if (!stripe) {
            stripe = std::make_unique<Stripe>();
            ++used_;
        }
        stripe->hashes[page % kPages] = hash;
        stripe->valid |= std::uint64_t{1} << page % kPages;
    }
    void forget(std::uint64_t page) {
        if (const auto &stripe = stripes_[page / kPages]; stripe)
            stripe->valid &= ~(std::uint64_t{1} << page % kPages);
    }
    bool any(std::uint64_t stripe) const { return stripes_[stripe] != nullptr; }
    std::size_t bytes() const {
        return stripes_.capacity() * sizeof(stripes_[0]) + used_ * sizeof(Stripe);
    }

  private:
    static constexpr std::uint64_t kPages = 64;
    struct Stripe {
        std::uint64_t valid = 0;
        std::array<PageHash, kPages> hashes;
    };
    std::vector<std::unique_ptr<Stripe>> stripes_;
    std::size_t used_ = 0;
};

} // namespace tidemark
