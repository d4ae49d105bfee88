// SPDX-License-Identifier: GPL-2.0-or-later
//
// A small recurrent network: one layer of gated recurrent units (Cho et al., EMNLP 2014) and a linear one on its
// last state. For inputs x and state h, each step does
//
//    z = s(Wz x + Uz h + bz)        how much of the old state stays
//    r = s(Wr x + Ur h + br)        how much of it the new one sees
//    n = tanh(Wn x + Un (r * h) + bn)
//    h = z * h + (1 - z) * n
//
// and after the last step y = V h + c. Sequences begin with h = 0; the gradient goes back through all of their steps
// (truncated backpropagation through time) and Adam (Kingma and Ba, ICLR 2015) applies it. Everything is a function
// of the seed and of what was learnt. Matrices lie by input, so that inner loops run over neighbouring outputs.
#pragma once

#include "predict/sealed_bytes.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tidemark {

class Gru {
  public:
    static constexpr std::size_t kHidden = 16;

    // What a forward pass leaves for the backward one.
    struct Step {
        std::array<float, kHidden> before, z, r, n, gated; // before: the state; gated: r * before
    };
    using Trace = std::vector<Step>;

    Gru(std::size_t inputs, std::size_t outputs, std::uint32_t seed);

    std::size_t inputs() const { return inputs_; }
    std::size_t outputs() const { return outputs_; }
    // sequence: whole steps of inputs() values each, at least one. result: outputs() values.
    void forward(std::span<const float> sequence, Trace &trace, std::span<float> result) const;
    // Adds to the gradient, given that of the loss by the outputs.
    void backward(std::span<const float> sequence, const Trace &trace,
                  std::span<const float> by_outputs);
    // Applies the gradient and clears it. Long ones are shortened to `longest`.
    void learn(float rate, float longest = 1.0f);

    // All weights: W by input (z, r, n), Uz and Ur by state, Un by state, biases, V by state, c.
    std::span<float> weights() { return weights_; }
    std::span<const float> gradient() const { return gradient_; }

    // Multiply-adds.
    std::uint64_t forward_cost(std::size_t steps) const;
    std::uint64_t learn_cost(std::size_t steps) const { return 3 * forward_cost(steps); }

    void encode(ByteWriter &out) const;
    Result<void> decode(ByteReader &in, const Seal &seal);
    std::size_t bytes() const { return sizeof(*this) + 4 * weights_.capacity() * sizeof(float); }

  private:
    struct Places { // in weights_
        std::size_t w, u, un, b, v, c, end;
    };
    Places places() const;
    void step(const float *x, std::array<float, kHidden> &state, Step &kept) const;

    std::size_t inputs_, outputs_;
    std::vector<float> weights_, gradient_, mean_, square_; // the last two are Adam's
    std::uint64_t learnt_ = 0;
};

} // namespace tidemark
