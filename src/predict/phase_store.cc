// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/phase_store.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tidemark {

namespace {

constexpr float kUnproven = 0.75f; // the share of a set that was seen only once
constexpr double kNewest = 0.25;   // weight of the newest value, once there are four
constexpr double kMs = 1000;
constexpr std::int64_t kNever = 0, kLatest = std::int64_t{1} << 52; // ms of the wall clock

std::uint32_t count_of(std::uint16_t pages) {
    return static_cast<std::uint32_t>(std::popcount(pages));
}

std::uint8_t bit_of(int phase) {
    return static_cast<std::uint8_t>(1u << phase);
}

bool sensible(const Spread &spread) {
    return std::isfinite(spread.mean) && spread.mean >= 0 && std::isfinite(spread.variance) &&
           spread.variance >= 0;
}

} // namespace

void Spread::add(double value) {
    ++count;
    const double weight = std::max(1.0 / count, kNewest);
    const double off = value - mean;
    mean += weight * off;
    variance = (1 - weight) * (variance + weight * off * off);
}

double Spread::deviation() const {
    return std::sqrt(variance);
}

void Footprint::add(PageIndex page) {
    const std::uint32_t block = page.value / kBlockPages;
    const auto bit = static_cast<std::uint16_t>(1u << (page.value % kBlockPages));
    if (pages_[block] == 0)
        order_.push_back(block);
    count_ += (pages_[block] & bit) == 0;
    pages_[block] |= bit;
}

void Footprint::clear() {
    for (const std::uint32_t block : order_)
        pages_[block] = 0;
    order_.clear();
    count_ = 0;
}

std::size_t Footprint::bytes() const {
    return pages_.capacity() * sizeof(pages_[0]) + order_.capacity() * sizeof(order_[0]);
}

PhaseStore::PhaseStore(std::uint32_t pages)
    : pages_(pages), members_((pages + kBlockPages - 1) / kBlockPages) {}

int PhaseStore::like(const Footprint &footprint) const {
    std::array<std::size_t, kMostPhases> shared{};
    for (const std::uint32_t block : footprint.order())
        for (int i = 0; i < kMostPhases; ++i)
            shared[static_cast<std::size_t>(i)] += (members_[block] & bit_of(i)) != 0;
    int best = -1;
    for (int i = 0; i < kMostPhases; ++i) {
        const std::size_t common = shared[static_cast<std::size_t>(i)];
        const std::size_t all = at(i).blocks.size() + footprint.order().size() - common;
        if (at(i).known && 2 * common >= all &&
            (best < 0 || common > shared[static_cast<std::size_t>(best)]))
            best = i;
    }
    return best;
}

int PhaseStore::add(const Footprint &footprint, double now) {
    make_room(footprint.order().size(), -1);
    const auto free =
        std::find_if(phases_.begin(), phases_.end(), [](const Phase &one) { return !one.known; });
    const auto phase = static_cast<int>(free - phases_.begin());
    *free = Phase{};
    free->known = true;
    free->seen = now;
    free->share = kUnproven;
    merge(phase, footprint, {});
    return phase;
}

bool PhaseStore::merge(int number, const Footprint &used, std::span<const std::uint16_t> unused) {
    Phase &phase = at(number);
    const bool first = phase.blocks.empty();
    std::vector<PhaseBlock> kept;
    kept.reserve(phase.blocks.size());
    phase.pages = 0;
    for (PhaseBlock one : phase.blocks) {
        const std::uint16_t now = used.pages(one.block);
        const auto missed =
            static_cast<std::uint16_t>(unused.empty() ? 0 : unused[one.block] & one.pages & ~now);
        const auto joined = static_cast<std::uint16_t>(now & ~one.pages);
        const auto gone = static_cast<std::uint16_t>(one.doubted & missed);
        one.pages = static_cast<std::uint16_t>((one.pages & ~gone) | now);
        one.doubted = static_cast<std::uint16_t>(((one.doubted | missed) & ~gone & ~now) | joined);
        if (one.pages != 0)
            kept.push_back(one);
        else
            members_[one.block] &= static_cast<std::uint8_t>(~bit_of(number));
        phase.pages += count_of(one.pages);
    }
    for (const std::uint32_t block : used.order())
        if ((members_[block] & bit_of(number)) == 0) {
            members_[block] |= bit_of(number);
            const std::uint16_t doubted = first ? std::uint16_t{0} : used.pages(block);
            kept.push_back({block, used.pages(block), doubted});
            phase.pages += count_of(used.pages(block));
        }
    kept.shrink_to_fit();
    phase.blocks = std::move(kept);
    if (phase.blocks.empty() || phase.blocks.size() > most_blocks()) {
        forget(number);
        return false;
    }
    make_room(0, number);
    return true;
}

int PhaseStore::longest_unseen(int except) const {
    int oldest = -1;
    for (int i = 0; i < kMostPhases; ++i)
        if (i != except && at(i).known && (oldest < 0 || at(i).seen < at(oldest).seen))
            oldest = i;
    return oldest;
}

// For a set of so many blocks more.
void PhaseStore::make_room(std::size_t more, int except) {
    for (;;) {
        std::size_t total = more;
        int known = more > 0;
        for (const Phase &one : phases_) {
            total += one.blocks.size();
            known += one.known;
        }
        const int oldest = longest_unseen(except);
        if (oldest < 0 || (total <= 2 * members_.size() && known <= kMostPhases))
            return;
        forget(oldest);
    }
}

void PhaseStore::forget(int number) {
    for (const PhaseBlock &one : at(number).blocks)
        members_[one.block] &= static_cast<std::uint8_t>(~bit_of(number));
    at(number) = Phase{};
    for (Phase &other : phases_)
        other.followed_by[static_cast<std::size_t>(number)] = 0;
}

void PhaseStore::encode(ByteWriter &out, double unix_time) const {
    out.put(pages_);
    for (const Phase &one : phases_) {
        out.put(static_cast<std::uint32_t>(one.blocks.size()));
        if (!one.known)
            continue;
        out.put(one.share);
        out.put(one.began ? std::llround((*one.began + unix_time) * kMs) : kNever);
        for (const Spread &spread : {one.stay, one.again}) {
            out.put(spread.count);
            out.put(spread.mean);
            out.put(spread.variance);
        }
        for (const float times : one.followed_by)
            out.put(times);
        for (const PhaseBlock &block : one.blocks) {
            out.put(block.block);
            out.put(block.pages);
            out.put(block.doubted);
        }
    }
}

Result<Phase> PhaseStore::decode_phase(ByteReader &in, const Seal &seal, double unix_time) const {
    const auto refuse = [&seal](const char *how) {
        return tl::unexpected<Error>(unusable(seal, how));
    };
    Phase phase;
    const auto blocks = in.get<std::uint32_t>();
    if (blocks == 0)
        return phase;
    if (blocks > most_blocks() || std::uint64_t{blocks} * 8 > in.left())
        return refuse("a set in it has more blocks than fit");
    phase.known = true;
    phase.share = in.get<float>();
    const auto began = in.get<std::int64_t>();
    bool odd = !(phase.share >= 0 && phase.share <= 1) || began < 0 || began > kLatest;
    if (began != kNever) {
        phase.began = static_cast<double>(began) / kMs - unix_time;
        phase.before_file = true;
    }
    for (Spread *spread : {&phase.stay, &phase.again}) {
        spread->count = in.get<std::uint32_t>();
        spread->mean = in.get<double>();
        spread->variance = in.get<double>();
        odd = odd || !sensible(*spread);
    }
    for (float &times : phase.followed_by) {
        times = in.get<float>();
        odd = odd || !(times >= 0 && std::isfinite(times));
    }
    if (odd)
        return refuse("a share or a duration in it is no possible one");
    std::vector<bool> seen(members_.size());
    for (std::uint32_t i = 0; i < blocks; ++i) {
        PhaseBlock one;
        one.block = in.get<std::uint32_t>();
        one.pages = in.get<std::uint16_t>();
        one.doubted = in.get<std::uint16_t>();
        const std::uint64_t end = std::uint64_t{one.block} * kBlockPages +
                                  static_cast<std::uint32_t>(std::bit_width(one.pages));
        if (one.pages == 0 || end > pages_ || seen[one.block])
            return refuse("a set in it has pages that do not exist, or one twice");
        seen[one.block] = true;
        phase.blocks.push_back(one);
        phase.pages += count_of(one.pages);
    }
    return phase;
}

Result<void> PhaseStore::decode(ByteReader &in, const Seal &seal, double unix_time) {
    const auto refuse = [&seal](const std::string &how) {
        return tl::unexpected<Error>(unusable(seal, how));
    };
    if (const auto pages = in.get<std::uint32_t>(); pages != pages_)
        return refuse("it is of a memory of " + std::to_string(pages) +
                      " pages, and this one has " + std::to_string(pages_));
    std::array<Phase, kMostPhases> phases;
    std::size_t total = 0;
    for (Phase &one : phases) {
        auto phase = decode_phase(in, seal, unix_time);
        if (!phase)
            return tl::unexpected<Error>(phase.error());
        one = std::move(*phase);
        total += one.blocks.size();
    }
    if (!in.complete() || total > 2 * members_.size())
        return refuse("its parts do not fit together");
    phases_ = std::move(phases);
    std::fill(members_.begin(), members_.end(), std::uint8_t{0});
    for (int i = 0; i < kMostPhases; ++i)
        for (const PhaseBlock &one : at(i).blocks)
            members_[one.block] |= bit_of(i);
    return {};
}

std::size_t PhaseStore::bytes() const {
    std::size_t sum = members_.capacity();
    for (const Phase &one : phases_)
        sum += sizeof(one) + one.blocks.capacity() * sizeof(PhaseBlock);
    return sum;
}

} // namespace tidemark
