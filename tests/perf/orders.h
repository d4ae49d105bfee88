// SPDX-License-Identifier: GPL-2.0-or-later
//
// In which order a workload visits pages. All are a function of their seed.
#pragma once

#include "content.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace tidemark::perf {

class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(mix(seed)) {}
    std::uint64_t next() { return mix(state_++); }
    // In [0, bound), bound < 2^32; a bias below 2^-32 does not matter here.
    std::uint64_t below(std::uint64_t bound) { return ((next() >> 32) * bound) >> 32; }
    double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  private:
    std::uint64_t state_;
};

class Order {
  public:
    virtual ~Order() = default;
    virtual std::size_t next() = 0;
};

// first, first + step, first + 2 step ...: `count` of them, each as likely.
class UniformOrder final : public Order {
  public:
    UniformOrder(std::uint64_t seed, std::size_t count, std::size_t first = 0, std::size_t step = 1)
        : random_(seed), count_(count), first_(first), step_(step) {}
    std::size_t next() override { return first_ + random_.below(count_) * step_; }

  private:
    Random random_;
    std::size_t count_, first_, step_;
};

inline void shuffle(std::span<std::size_t> what, Random &random) {
    for (std::size_t left = what.size(); left > 1; --left)
        std::swap(what[left - 1], what[random.below(left)]);
}

// 0 to count - 1, in a random order.
inline std::vector<std::size_t> shuffled(std::uint64_t seed, std::size_t count) {
    std::vector<std::size_t> all(count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    Random random(seed);
    shuffle(all, random);
    return all;
}

// The same pages in the same order again and again.
class RepeatedOrder final : public Order {
  public:
    explicit RepeatedOrder(std::vector<std::size_t> pages) : pages_(std::move(pages)) {}
    std::size_t next() override { return pages_[at_++ % pages_.size()]; }
    std::size_t size() const { return pages_.size(); }

  private:
    std::vector<std::size_t> pages_;
    std::size_t at_ = 0;
};

// What a guest allocates together lies together: working sets are made of pieces of so many pages.
constexpr std::size_t kExtentPages = 16;

// Any page of a set of extents, each as likely.
class ExtentOrder final : public Order {
  public:
    ExtentOrder(std::uint64_t seed, std::span<const std::size_t> extents)
        : random_(seed), extents_(extents.begin(), extents.end()) {}
    std::size_t next() override {
        const std::size_t extent = extents_[random_.below(extents_.size())];
        return extent * kExtentPages + random_.below(kExtentPages);
    }

  private:
    Random random_;
    std::vector<std::size_t> extents_;
};

// The pages of a set of extents in the order in which a job might come to them: a few extents at a time, the
// pages of these mixed.
inline std::vector<std::size_t> job_order(std::uint64_t seed,
                                          std::span<const std::size_t> extents) {
    constexpr std::size_t kAtATime = 4 * kExtentPages;
    Random random(seed);
    std::vector<std::size_t> pages;
    for (const std::size_t extent : extents)
        for (std::size_t i = 0; i < kExtentPages; ++i)
            pages.push_back(extent * kExtentPages + i);
    for (std::size_t first = 0; first < pages.size(); first += kAtATime)
        shuffle(std::span(pages).subspan(first, std::min(kAtATime, pages.size() - first)), random);
    return pages;
}

// `streams` walks through a part of the memory each, a page of each in turn.
class InterleavedOrder final : public Order {
  public:
    InterleavedOrder(std::size_t count, std::size_t streams)
        : part_(count / streams), streams_(streams) {}
    std::size_t next() override {
        const std::size_t step = at_++;
        return step % streams_ * part_ + step / streams_ % part_;
    }

  private:
    std::size_t part_, streams_;
    std::size_t at_ = 0;
};

// The page of rank r (from 1) is visited in proportion to r^-theta; ranks are scattered over the
// memory, as a guest's hot pages are. The approximation is the usual one for load generators: exact for
// the first two ranks, the integral of the density beyond.
class ZipfOrder final : public Order {
  public:
    ZipfOrder(std::uint64_t seed, std::size_t count, std::size_t first = 0, double theta = 0.99)
        : random_(seed), count_(count), first_(first), theta_(theta) {
        for (std::size_t rank = 1; rank <= count; ++rank)
            total_ += std::pow(static_cast<double>(rank), -theta);
        const double two = 1 + std::pow(2.0, -theta);
        eta_ = (1 - std::pow(2.0 / static_cast<double>(count), 1 - theta)) / (1 - two / total_);
        while (std::gcd(scatter_, count) != 1)
            scatter_ += 2;
    }
    std::size_t next() override { return first_ + rank() * scatter_ % count_; }

  private:
    std::size_t rank() {
        const double u = random_.unit();
        if (u * total_ < 1)
            return 0;
        if (u * total_ < 1 + std::pow(0.5, theta_))
            return 1;
        const double share = std::pow(eta_ * u - eta_ + 1, 1 / (1 - theta_));
        const auto found = static_cast<std::size_t>(static_cast<double>(count_) * share);
        return found < count_ ? found : count_ - 1;
    }

    Random random_;
    std::size_t count_, first_;
    double theta_;
    double total_ = 0;
    double eta_ = 0;
    std::size_t scatter_ = 2654435761u; // coprime to the count, so each rank has a page of its own
};

} // namespace tidemark::perf
