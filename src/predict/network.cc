// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/network.h"

#include <algorithm>
#include <bit>
#include <cerrno>

namespace tidemark {

namespace {

constexpr Seal kSeal{"TMHEATN\n", 1, "file of weights"};
constexpr std::uint32_t kBlock = 16; // pages of one bit
constexpr float kLikely = 0.3f;      // what is less likely is not named
constexpr float kAsHot = 0.25f;      // of its blocks before; fewer since then say nothing yet
constexpr double kLongestGap = 8;    // seconds; what is longer is taken for so long

} // namespace

Result<std::unique_ptr<Network>> Network::make(std::uint32_t pages, std::uint32_t horizon,
                                               std::uint64_t budget, std::uint32_t seed) {
    if (horizon < kShortest || horizon > kLongest)
        return fail(EINVAL, "the network can't forecast over a horizon of " +
                                std::to_string(horizon) + " s; it must be between " +
                                std::to_string(kShortest) + " and " + std::to_string(kLongest));
    return std::unique_ptr<Network>(new Network(pages, horizon, budget, seed));
}

Network::Network(std::uint32_t pages, std::uint32_t horizon, std::uint64_t budget,
                 std::uint32_t seed)
    : pages_(pages), regions_((std::uint64_t{pages} + kRegionPages - 1) / kRegionPages),
      heat_(regions_.size()),
      heat_network_(static_cast<std::uint32_t>(regions_.size()), horizon, budget, seed) {}

void Network::observe(const Window &window) {
    for (const Access &access : window.accesses) {
        if (!is_use(access.kind))
            continue;
        const std::uint64_t end =
            std::min<std::uint64_t>(std::uint64_t{access.first.value} + access.count, pages_);
        for (std::uint64_t page = access.first.value; page < end;
             page = (page / kBlock + 1) * kBlock)
            regions_[page / kRegionPages].lately |= 1u << (page % kRegionPages / kBlock);
    }
    for (std::size_t i = 0; i < std::min(regions_.size(), window.heat.size()); ++i)
        if (window.heat[i] > 0)
            regions_[i].heat += window.heat[i];
    now_ = window.begin + window.seconds;
    spent_ = std::min(spent_ + std::max(0.0, window.seconds), kLongestGap);
    // A window of several seconds is as many steps, all alike.
    if (const int whole = static_cast<int>(spent_ + 1e-6); whole >= 1) {
        for (Region &region : regions_)
            region.heat /= static_cast<float>(whole);
        for (int i = 0; i < whole; ++i)
            step();
        for (Region &region : regions_)
            region.heat = 0;
        spent_ = std::max(0.0, spent_ - whole);
    }
}

void Network::step() {
    for (std::size_t i = 0; i < regions_.size(); ++i) {
        Region &region = regions_[i];
        const bool hot = region.heat >= kHot;
        if (hot && !region.hot) { // what is used from here on is another time
            region.before = region.lately;
            region.lately = 0;
        }
        region.hot = hot;
        heat_[i] = region.heat;
    }
    heat_network_.see(heat_);
    ++steps_;
    fresh_ = true;
}

Network::Candidate Network::candidate(std::uint32_t index, const HeatForecast &forecast) const {
    const Region &region = regions_[index];
    std::uint32_t blocks = region.lately;
    if (static_cast<float>(std::popcount(region.lately)) <
        kAsHot * static_cast<float>(std::popcount(region.before)))
        blocks |= region.before;
    const float pages = static_cast<float>(std::popcount(blocks)) * kBlock;
    const float used = forecast.heat * static_cast<float>(heat_network_.horizon());
    return {index, blocks, pages > 0 ? forecast.becomes_hot * std::min(1.0f, used / pages) : 0};
}

void Network::name(const Candidate &chosen, std::vector<Expectation> &out) const {
    const double until = now_ + static_cast<double>(heat_network_.horizon());
    for (std::uint32_t blocks = chosen.blocks; blocks != 0;) {
        const auto first = static_cast<std::uint32_t>(std::countr_zero(blocks));
        const auto count = static_cast<std::uint32_t>(std::countr_one(blocks >> first));
        blocks &= ~static_cast<std::uint32_t>(((std::uint64_t{1} << count) - 1) << first);
        PageRun run{PageIndex{chosen.region * kRegionPages + first * kBlock}, count * kBlock};
        run.count = std::min(run.count, pages_ - run.first.value);
        out.push_back({run, chosen.confidence, until});
    }
}

void Network::expect(std::vector<Expectation> &out) {
    if (!fresh_)
        return;
    fresh_ = false;
    candidates_.clear();
    for (std::uint32_t i = 0; room_ > 0 && i < regions_.size(); ++i) {
        const HeatForecast forecast = heat_network_.forecast(i);
        if (regions_[i].hot || forecast.becomes_hot < kLikely || steps_ < regions_[i].silent_until)
            continue;
        if (const Candidate one = candidate(i, forecast); one.blocks != 0)
            candidates_.push_back(one);
    }
    std::stable_sort(
        candidates_.begin(), candidates_.end(),
        [](const Candidate &a, const Candidate &b) { return a.confidence > b.confidence; });
    std::uint32_t room = room_;
    for (const Candidate &one : candidates_) {
        const std::uint32_t pages = static_cast<std::uint32_t>(std::popcount(one.blocks)) * kBlock;
        if (pages > room)
            break;
        room -= pages;
        regions_[one.region].silent_until =
            steps_ + static_cast<std::uint32_t>(heat_network_.horizon());
        name(one, out);
    }
}

Result<std::uint32_t> Network::horizon_of(std::span<const std::byte> bytes) {
    auto content = open_sealed(bytes, kSeal);
    if (!content)
        return tl::unexpected<Error>(content.error());
    return content->get<std::uint32_t>(); // what HeatNetwork::encode() begins with
}

std::vector<std::byte> Network::save() const {
    if (steps_ == 0 && !restored_)
        return {};
    ByteWriter out;
    heat_network_.encode(out);
    return out.sealed(kSeal);
}

Result<void> Network::restore(std::span<const std::byte> bytes) {
    auto content = open_sealed(bytes, kSeal);
    if (!content)
        return tl::unexpected<Error>(content.error());
    Result<void> decoded = heat_network_.decode(*content, kSeal);
    restored_ = restored_ || decoded;
    return decoded;
}

std::size_t Network::bytes() const {
    return sizeof(*this) - sizeof(heat_network_) + heat_network_.bytes() +
           regions_.capacity() * sizeof(Region) + candidates_.capacity() * sizeof(Candidate) +
           heat_.capacity() * sizeof(float);
}

} // namespace tidemark
