// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/policy.h"

#include <algorithm>

namespace tidemark {

namespace {

// Ranks are generations modulo 256. A generation lasts while a 32nd of the limit's worth of pages
// comes in. A page cannot stay for 255 generations unless it is hot or pinned, and both refresh it.
class Generations {
  public:
    explicit Generations(std::uint32_t limit) { set_limit(limit); }
    void set_limit(std::uint32_t limit) { length_ = std::max(1u, limit / 32); }
    std::uint8_t enter() {
        if (++entered_ >= length_) {
            entered_ = 0;
            ++now_;
        }
        return now_;
    }
    std::uint8_t oldest() const { return static_cast<std::uint8_t>(now_ + 1); }
    std::uint8_t since_oldest(std::uint8_t rank) const {
        return static_cast<std::uint8_t>(rank - oldest());
    }

  private:
    std::uint32_t length_ = 1;
    std::uint32_t entered_ = 0;
    std::uint8_t now_ = 0;
};

// Unasked pages enter as if they were three quarters of a turnover old: they leave before what was used.
constexpr std::uint8_t kUnaskedHandicap = 24;

class Lru final : public EvictionPolicy {
  public:
    explicit Lru(std::uint32_t limit) : generations_(limit) {}
    PolicyKind kind() const override { return PolicyKind::lru; }
    void set_limit(std::uint32_t pages) override { generations_.set_limit(pages); }
    std::uint8_t enter(std::uint8_t, EnterReason reason) override {
        const std::uint8_t now = generations_.enter();
        return reason == EnterReason::unasked ? static_cast<std::uint8_t>(now - kUnaskedHandicap)
                                              : now;
    }
    std::uint8_t coldness(std::uint8_t rank) const override {
        return generations_.since_oldest(rank);
    }
    std::uint32_t staged_share() const override { return 32; }
    bool ageing_due() override { return false; }
    std::uint8_t age(std::uint8_t rank) const override { return rank; }

  private:
    Generations generations_;
};

// First in, first out: a refault from staging does not move a page back in the queue (it never left
// DRAM), so there is no second chance and almost nothing is kept staged.
class Fifo final : public EvictionPolicy {
  public:
    explicit Fifo(std::uint32_t limit) : generations_(limit) {}
    PolicyKind kind() const override { return PolicyKind::fifo; }
    void set_limit(std::uint32_t pages) override { generations_.set_limit(pages); }
    std::uint8_t enter(std::uint8_t rank, EnterReason reason) override {
        return reason == EnterReason::refault_staged ? rank : generations_.enter();
    }
    std::uint8_t coldness(std::uint8_t rank) const override {
        return generations_.since_oldest(rank);
    }
    std::uint32_t staged_share() const override { return 2; }
    bool ageing_due() override { return false; }
    std::uint8_t age(std::uint8_t rank) const override { return rank; }

  private:
    Generations generations_;
};

// Least frequently used with decay: ranks are access counts, kept while a page is away from DRAM and
// halved once in a few turnovers of the limit, so that yesterday's hot pages can leave. (Four: with one, a scan
// that comes again and again outweighs what is hot; scripts/trace replay shows it.)
class Lfu final : public EvictionPolicy {
  public:
    explicit Lfu(std::uint32_t limit) { set_limit(limit); }
    PolicyKind kind() const override { return PolicyKind::lfu; }
    void set_limit(std::uint32_t pages) override {
        period_ = std::max<std::uint64_t>(1, kTurnovers * pages);
    }
    std::uint8_t enter(std::uint8_t rank, EnterReason reason) override {
        ++entered_;
        switch (reason) {
        case EnterReason::unasked:
        case EnterReason::put_back:
            return rank;
        case EnterReason::first_touch:
        case EnterReason::foreseen:
            return std::max<std::uint8_t>(rank, 1);
        case EnterReason::refault_staged:
        case EnterReason::refault_stored:
            break;
        }
        return static_cast<std::uint8_t>(std::min(255, rank + 2));
    }
    std::uint8_t coldness(std::uint8_t rank) const override { return rank; }
    std::uint32_t staged_share() const override { return 32; }
    bool ageing_due() override {
        if (entered_ < period_)
            return false;
        entered_ = 0;
        return true;
    }
    std::uint8_t age(std::uint8_t rank) const override { return rank / 2; }

  private:
    static constexpr std::uint64_t kTurnovers = 4;
    std::uint64_t period_ = 1;
    std::uint64_t entered_ = 0;
};

} // namespace

std::uint8_t coldness_of(const EvictionPolicy &policy,
                         const std::array<std::uint32_t, 256> &resident_by_rank,
                         std::uint32_t want) {
    std::array<std::uint32_t, 256> by_coldness{};
    for (unsigned rank = 0; rank < 256; ++rank)
        by_coldness[policy.coldness(static_cast<std::uint8_t>(rank))] += resident_by_rank[rank];
    std::uint32_t sum = 0;
    for (unsigned coldness = 0; coldness < 256; ++coldness) {
        sum += by_coldness[coldness];
        if (sum >= want)
            return static_cast<std::uint8_t>(coldness);
    }
    return 255;
}

std::unique_ptr<EvictionPolicy> make_policy(PolicyKind kind, std::uint32_t limit_pages) {
    switch (kind) {
    case PolicyKind::lru:
        return std::make_unique<Lru>(limit_pages);
    case PolicyKind::lfu:
        return std::make_unique<Lfu>(limit_pages);
    case PolicyKind::fifo:
        return std::make_unique<Fifo>(limit_pages);
    }
    return nullptr;
}

} // namespace tidemark
