// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/heat_network.h"

#include <algorithm>
#include <cmath>

namespace tidemark {

namespace {

constexpr std::size_t kBatch = 16; // lessons before weights change
constexpr float kRate = 0.003f;
constexpr float kTolerance = 0.05f; // levels; larger errors all pull alike, so the median is learnt
constexpr std::uint32_t kReplayed = 240; // steps back that are learnt from again
constexpr std::int64_t kKnown = HeatHistory::kSequence;
constexpr float kTrust = 8;          // times something must have been said before experience counts
constexpr float kForget = 0.999f;    // of that experience, each time
constexpr std::size_t kLongMean = 3; // which input it is

float logistic(float x) {
    return 1 / (1 + std::exp(-x));
}

float hot_level() {
    static const float level = HeatHistory::level_of(kHot);
    return level - 0.5f / 255; // levels are rounded
}

} // namespace

HeatNetwork::HeatNetwork(std::uint32_t regions, std::size_t horizon, std::uint64_t budget,
                         std::uint32_t seed)
    : history_(regions, horizon), horizon_(horizon), budget_(budget), random_(seed),
      gru_(HeatHistory::kFeatures, kOutputs, seed),
      input_(HeatHistory::kFeatures * HeatHistory::kSequence), forecasts_(history_.units()) {
    gru_.weights().back() = -2; // hardly anything becomes hot, to begin with
}

std::uint64_t HeatNetwork::cost_of_input() const {
    return HeatHistory::kSequence * horizon_ + 128;
}

void HeatNetwork::see(std::span<const float> heat) {
    history_.see(heat);
    spent_ += Period::kLongest * 8 + history_.units() * 8ull;
    check();
    active_.clear();
    for (std::uint32_t unit = 0; unit < history_.units(); ++unit)
        if (history_.active(unit))
            active_.push_back(unit);
    if (!active_.empty())
        learn();
    forecast_all();
}

// Forecasts whose time is over: did it come true?
void HeatNetwork::check() {
    while (!checks_.empty() &&
           checks_.front().step + static_cast<std::int64_t>(horizon_) <= history_.now()) {
        const Check one = checks_.front();
        checks_.pop_front();
        Bin &bin = bins_[std::min(kBins - 1, static_cast<std::size_t>(one.likely * kBins))];
        const bool came = history_.ahead(one.unit, one.step).highest >= hot_level();
        bin.said = kForget * bin.said + 1;
        bin.came = kForget * bin.came + (came ? 1.0f : 0.0f);
    }
}

float HeatNetwork::corrected(float likely) const {
    const Bin &bin = bins_[std::min(kBins - 1, static_cast<std::size_t>(likely * kBins))];
    return (bin.came + kTrust * likely) / (bin.said + kTrust);
}

// Half of the lessons are the newest; of the others every second one is about a region that became hot, if one is
// found soon: that is rare, and what matters.
std::int64_t HeatNetwork::pick_moment(std::uint32_t unit) {
    const std::int64_t newest = history_.now() - static_cast<std::int64_t>(horizon_);
    const std::uint32_t kind = random_() % 4;
    if (kind < 2)
        return newest;
    std::int64_t at = newest - random_() % kReplayed;
    for (int tries = 0; kind == 3 && tries < 4; ++tries) {
        if (history_.level(unit, at) < hot_level() &&
            history_.ahead(unit, at).highest >= hot_level())
            break;
        at = newest - random_() % kReplayed;
    }
    return at;
}

bool HeatNetwork::lesson(std::uint32_t unit, std::int64_t at) {
    if (at < kKnown)
        return false;
    history_.features(unit, at, input_);
    const HeatHistory::Ahead truth = history_.ahead(unit, at);
    std::array<float, kOutputs> said{}, by{};
    gru_.forward(input_, trace_, said);
    const float mean = input_[input_.size() - HeatHistory::kFeatures + kLongMean];
    by[0] = std::clamp((mean + said[0] - truth.mean) / kTolerance, -1.0f, 1.0f);
    if (history_.level(unit, at) < hot_level())
        by[1] = logistic(said[1]) - (truth.highest >= hot_level() ? 1.0f : 0.0f);
    gru_.backward(input_, trace_, by);
    return true;
}

void HeatNetwork::learn() {
    const std::uint64_t each = gru_.learn_cost(HeatHistory::kSequence) + cost_of_input();
    const std::uint64_t lessons = budget_ / 2 / each;
    for (std::uint64_t i = 0; i < lessons; i += kBatch) {
        const std::uint64_t batch = std::min<std::uint64_t>(kBatch, lessons - i);
        std::size_t learnt = 0;
        for (std::uint64_t k = 0; k < batch; ++k) {
            const std::uint32_t unit = active_[random_() % active_.size()];
            learnt += lesson(unit, pick_moment(unit));
        }
        if (learnt == 0)
            return;
        // As many lessons as there are, the step is the same: Adam is blind to scale, and long ones are cut.
        gru_.learn(kRate, static_cast<float>(learnt));
        spent_ += learnt * each;
    }
}

void HeatNetwork::forecast_all() {
    const std::uint64_t each = gru_.forward_cost(HeatHistory::kSequence) + cost_of_input();
    const std::uint64_t most = std::max<std::uint64_t>(1, budget_ / 2 / each);
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(most, active_.size()));
    if (count == active_.size()) // or else what is not looked at keeps what was said of it
        std::fill(forecasts_.begin(), forecasts_.end(), HeatForecast{});
    const std::uint32_t stride = std::max(1u, count / std::uint32_t{kChecksPerStep});
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t unit = active_[(turn_ + i) % active_.size()];
        history_.features(unit, history_.now(), input_);
        std::array<float, kOutputs> said{};
        gru_.forward(input_, trace_, said);
        const float mean = input_[input_.size() - HeatHistory::kFeatures + kLongMean];
        const bool hot = history_.level(unit, history_.now()) >= hot_level();
        const float likely = hot ? 0 : logistic(said[1]);
        forecasts_[unit] = {HeatHistory::heat_of(std::clamp(mean + said[0], 0.0f, 1.0f)),
                            hot ? 0 : corrected(likely)};
        if (!hot && (i + static_cast<std::uint32_t>(history_.now())) % stride == 0 &&
            history_.now() >= kKnown && checks_.size() < kChecksPerStep * 2 * horizon_)
            checks_.push_back({history_.now(), unit, likely});
    }
    turn_ = active_.empty() ? 0 : (turn_ + count) % static_cast<std::uint32_t>(active_.size());
    spent_ += count * each;
}

HeatForecast HeatNetwork::forecast(std::uint32_t region) const {
    const std::uint32_t unit = history_.unit_of(region);
    return unit < forecasts_.size() ? forecasts_[unit] : HeatForecast{};
}

void HeatNetwork::encode(ByteWriter &out) const {
    out.put(static_cast<std::uint32_t>(horizon_));
    gru_.encode(out);
    for (const Bin &bin : bins_) {
        out.put(bin.said);
        out.put(bin.came);
    }
}

Result<void> HeatNetwork::decode(ByteReader &in, const Seal &seal) {
    const auto refuse = [&seal](const std::string &how) {
        return tl::unexpected<Error>(unusable(seal, how));
    };
    if (const auto horizon = in.get<std::uint32_t>(); horizon != horizon_)
        return refuse("it is for a horizon of " + std::to_string(horizon) +
                      " s, and this one is of " + std::to_string(horizon_) + " s");
    Gru gru = gru_;
    if (auto decoded = gru.decode(in, seal); !decoded)
        return decoded;
    std::array<Bin, kBins> bins;
    for (Bin &bin : bins) {
        bin.said = in.get<float>();
        bin.came = in.get<float>();
        if (!(bin.came >= 0 && bin.came <= bin.said && bin.said <= 1e6f))
            return refuse("a count in it is no possible one");
    }
    if (!in.complete())
        return refuse("its parts do not fit together");
    gru_ = std::move(gru);
    bins_ = bins;
    checks_.clear();
    return {};
}

std::size_t HeatNetwork::bytes() const {
    return sizeof(*this) + history_.bytes() + gru_.bytes() + trace_.capacity() * sizeof(Gru::Step) +
           input_.capacity() * sizeof(float) + forecasts_.capacity() * sizeof(HeatForecast) +
           active_.capacity() * sizeof(std::uint32_t) + checks_.size() * sizeof(Check);
}

} // namespace tidemark
