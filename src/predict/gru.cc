// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/gru.h"

#include "base/check.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace tidemark {

namespace {

constexpr std::size_t kH = Gru::kHidden;
using State = std::array<float, kH>;
using Gates = std::array<float, 3 * kH>; // z, r, n

// Continued fraction, wrong by less than 1e-4; unlike std::tanh it lets the compiler do four at once.
float soft(float x) {
    x = std::min(4.97f, std::max(-4.97f, x));
    const float q = x * x;
    return x * (135135 + q * (17325 + q * (378 + q))) /
           (135135 + q * (62370 + q * (3150 + q * 28)));
}

float gate(float x) {
    return 0.5f + 0.5f * soft(0.5f * x);
}

template <std::size_t N> void add_scaled(float *to, const float *from, float by) {
    for (std::size_t i = 0; i < N; ++i)
        to[i] += by * from[i];
}

// In four sums, which the compiler may keep side by side.
template <std::size_t N> float dot(const float *a, const float *b) {
    float sums[4] = {};
    for (std::size_t i = 0; i < N; i += 4)
        for (std::size_t k = 0; k < 4; ++k)
            sums[k] += a[i + k] * b[i + k];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

} // namespace

Gru::Places Gru::places() const {
    Places at{};
    at.u = at.w + inputs_ * 3 * kH;
    at.un = at.u + kH * 2 * kH;
    at.b = at.un + kH * kH;
    at.v = at.b + 3 * kH;
    at.c = at.v + kH * outputs_;
    at.end = at.c + outputs_;
    return at;
}

// Uniform in +-1/sqrt(fan-in); biases are 0.
Gru::Gru(std::size_t inputs, std::size_t outputs, std::uint32_t seed)
    : inputs_(inputs), outputs_(outputs), weights_(places().end), gradient_(weights_.size()),
      mean_(weights_.size()), square_(weights_.size()) {
    std::mt19937 random(seed);
    const Places at = places();
    const float reach = 1 / std::sqrt(static_cast<float>(inputs + kH));
    for (std::size_t i = 0; i < at.c; ++i)
        if (i < at.b || i >= at.v)
            weights_[i] = (static_cast<float>(random() >> 8) * 0x1p-23f - 1) * reach;
}

void Gru::step(const float *x, State &state, Step &kept) const {
    const Places at = places();
    const float *w = weights_.data();
    Gates sum;
    std::copy_n(w + at.b, 3 * kH, sum.begin());
    for (std::size_t i = 0; i < inputs_; ++i)
        add_scaled<3 * kH>(sum.data(), w + at.w + i * 3 * kH, x[i]);
    for (std::size_t i = 0; i < kH; ++i)
        add_scaled<2 * kH>(sum.data(), w + at.u + i * 2 * kH, state[i]);
    kept.before = state;
    for (std::size_t i = 0; i < kH; ++i) {
        kept.z[i] = gate(sum[i]);
        kept.r[i] = gate(sum[kH + i]);
        kept.gated[i] = kept.r[i] * state[i];
    }
    for (std::size_t i = 0; i < kH; ++i)
        add_scaled<kH>(sum.data() + 2 * kH, w + at.un + i * kH, kept.gated[i]);
    for (std::size_t i = 0; i < kH; ++i) {
        kept.n[i] = soft(sum[2 * kH + i]);
        state[i] = kept.z[i] * state[i] + (1 - kept.z[i]) * kept.n[i];
    }
}

void Gru::forward(std::span<const float> sequence, Trace &trace, std::span<float> result) const {
    const std::size_t steps = sequence.size() / inputs_;
    TIDEMARK_CHECK(steps > 0 && steps * inputs_ == sequence.size() && result.size() == outputs_);
    trace.resize(steps);
    State state{};
    for (std::size_t t = 0; t < steps; ++t)
        step(sequence.data() + t * inputs_, state, trace[t]);
    const Places at = places();
    for (std::size_t o = 0; o < outputs_; ++o) {
        result[o] = weights_[at.c + o];
        for (std::size_t i = 0; i < kH; ++i)
            result[o] += weights_[at.v + i * outputs_ + o] * state[i];
    }
}

void Gru::backward(std::span<const float> sequence, const Trace &trace,
                   std::span<const float> by_outputs) {
    const Places at = places();
    const float *w = weights_.data();
    float *g = gradient_.data();
    State by_state{};
    const Step &last = trace.back();
    for (std::size_t i = 0; i < kH; ++i) {
        const float state = last.z[i] * last.before[i] + (1 - last.z[i]) * last.n[i];
        for (std::size_t o = 0; o < outputs_; ++o) {
            by_state[i] += w[at.v + i * outputs_ + o] * by_outputs[o];
            g[at.v + i * outputs_ + o] += state * by_outputs[o];
        }
    }
    for (std::size_t o = 0; o < outputs_; ++o)
        g[at.c + o] += by_outputs[o];
    for (std::size_t t = trace.size(); t-- > 0;) {
        const Step &one = trace[t];
        Gates by_sum; // the gradient by what goes into s() and tanh()
        State by_before;
        for (std::size_t i = 0; i < kH; ++i) {
            by_before[i] = by_state[i] * one.z[i];
            by_sum[i] = by_state[i] * (one.before[i] - one.n[i]) * one.z[i] * (1 - one.z[i]);
            by_sum[2 * kH + i] = by_state[i] * (1 - one.z[i]) * (1 - one.n[i] * one.n[i]);
        }
        for (std::size_t i = 0; i < kH; ++i) {
            const float by_gated = dot<kH>(w + at.un + i * kH, by_sum.data() + 2 * kH);
            by_before[i] += by_gated * one.r[i];
            by_sum[kH + i] = by_gated * one.before[i] * one.r[i] * (1 - one.r[i]);
        }
        for (std::size_t i = 0; i < kH; ++i) {
            by_before[i] += dot<2 * kH>(w + at.u + i * 2 * kH, by_sum.data());
            add_scaled<2 * kH>(g + at.u + i * 2 * kH, by_sum.data(), one.before[i]);
            add_scaled<kH>(g + at.un + i * kH, by_sum.data() + 2 * kH, one.gated[i]);
        }
        for (std::size_t i = 0; i < inputs_; ++i)
            add_scaled<3 * kH>(g + at.w + i * 3 * kH, by_sum.data(), sequence[t * inputs_ + i]);
        add_scaled<3 * kH>(g + at.b, by_sum.data(), 1);
        by_state = by_before;
    }
}

void Gru::learn(float rate, float longest) {
    constexpr float kMean = 0.9f, kSquare = 0.999f, kTiny = 1e-8f;
    float length = 0;
    for (const float one : gradient_)
        length += one * one;
    length = std::sqrt(length);
    if (!std::isfinite(length)) { // nothing to be learnt from
        std::fill(gradient_.begin(), gradient_.end(), 0.0f);
        return;
    }
    const float shorten = length > longest ? longest / length : 1;
    ++learnt_;
    const auto times = static_cast<float>(std::min<std::uint64_t>(learnt_, 100'000));
    const float fair_mean = 1 - std::pow(kMean, times), fair_square = 1 - std::pow(kSquare, times);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
        const float one = gradient_[i] * shorten;
        mean_[i] = kMean * mean_[i] + (1 - kMean) * one;
        square_[i] = kSquare * square_[i] + (1 - kSquare) * one * one;
        weights_[i] -=
            rate * (mean_[i] / fair_mean) / (std::sqrt(square_[i] / fair_square) + kTiny);
        gradient_[i] = 0;
    }
}

std::uint64_t Gru::forward_cost(std::size_t steps) const {
    return steps * (inputs_ * 3 * kH + 3 * kH * kH) + kH * outputs_;
}

void Gru::encode(ByteWriter &out) const {
    out.put(static_cast<std::uint32_t>(inputs_));
    out.put(static_cast<std::uint32_t>(kH));
    out.put(static_cast<std::uint32_t>(outputs_));
    for (const float one : weights_)
        out.put(one);
}

Result<void> Gru::decode(ByteReader &in, const Seal &seal) {
    const auto inputs = in.get<std::uint32_t>(), hidden = in.get<std::uint32_t>(),
               outputs = in.get<std::uint32_t>();
    if (inputs != inputs_ || hidden != kH || outputs != outputs_ ||
        in.left() < weights_.size() * sizeof(float))
        return tl::unexpected<Error>(unusable(seal, "its network has another shape"));
    std::vector<float> weights(weights_.size());
    for (float &one : weights) {
        one = in.get<float>();
        if (!(std::abs(one) < 1e3f))
            return tl::unexpected<Error>(unusable(seal, "a weight in it is no sensible number"));
    }
    weights_ = std::move(weights);
    for (std::vector<float> *state : {&gradient_, &mean_, &square_})
        std::fill(state->begin(), state->end(), 0.0f);
    learnt_ = 0;
    return {};
}

} // namespace tidemark
