// SPDX-License-Identifier: GPL-2.0-or-later
//
// The recurrent network against a plain one in double precision, written from the equations; its gradient against
// differences of that one; and it learns.
#include "predict/gru.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

using namespace tidemark;

namespace {

constexpr std::size_t kH = Gru::kHidden;
using Vector = std::vector<double>;

double squash(double x) {
    return 1 / (1 + std::exp(-x));
}

// y for a sequence, from the equations in gru.h and the order of weights stated there.
Vector plain(const Vector &w, const Vector &sequence, std::size_t inputs, std::size_t outputs) {
    const std::size_t u = inputs * 3 * kH, un = u + 2 * kH * kH, b = un + kH * kH, v = b + 3 * kH,
                      c = v + kH * outputs;
    Vector h(kH, 0.0);
    for (std::size_t t = 0; t < sequence.size() / inputs; ++t) {
        const double *x = sequence.data() + t * inputs;
        const auto in = [&](std::size_t gate, std::size_t j) {
            double sum = w[b + gate * kH + j];
            for (std::size_t i = 0; i < inputs; ++i)
                sum += w[i * 3 * kH + gate * kH + j] * x[i];
            return sum;
        };
        Vector z(kH), r(kH), next(kH);
        for (std::size_t j = 0; j < kH; ++j) {
            double sz = in(0, j), sr = in(1, j);
            for (std::size_t i = 0; i < kH; ++i) {
                sz += w[u + i * 2 * kH + j] * h[i];
                sr += w[u + i * 2 * kH + kH + j] * h[i];
            }
            z[j] = squash(sz);
            r[j] = squash(sr);
        }
        for (std::size_t j = 0; j < kH; ++j) {
            double sn = in(2, j);
            for (std::size_t i = 0; i < kH; ++i)
                sn += w[un + i * kH + j] * r[i] * h[i];
            next[j] = z[j] * h[j] + (1 - z[j]) * std::tanh(sn);
        }
        h = next;
    }
    Vector y(outputs);
    for (std::size_t o = 0; o < outputs; ++o) {
        y[o] = w[c + o];
        for (std::size_t i = 0; i < kH; ++i)
            y[o] += w[v + i * outputs + o] * h[i];
    }
    return y;
}

struct Case {
    Case(std::size_t inputs, std::size_t outputs, std::size_t steps, std::uint32_t seed)
        : gru(inputs, outputs, seed), random(seed + 1) {
        for (float &one : gru.weights())
            one += static_cast<float>(noise() * 0.5);
        weights.assign(gru.weights().begin(), gru.weights().end());
        for (std::size_t i = 0; i < inputs * steps; ++i)
            sequence.push_back(static_cast<float>(noise()));
        exact.assign(sequence.begin(), sequence.end());
    }
    double noise() { return double(random()) / 2147483648.0 - 1; }

    Gru gru;
    std::mt19937 random;
    Vector weights, exact;
    std::vector<float> sequence;
};

} // namespace

TEST_CASE("it computes what the equations say") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        const std::size_t inputs = 1 + seed % 12, outputs = 1 + seed % 3, steps = 1 + seed % 16;
        Case one(inputs, outputs, steps, seed);
        Gru::Trace trace;
        std::vector<float> y(outputs);
        one.gru.forward(one.sequence, trace, y);
        const Vector golden = plain(one.weights, one.exact, inputs, outputs);
        for (std::size_t o = 0; o < outputs; ++o)
            CHECK(std::abs(double(y[o]) - golden[o]) < 2e-3);
    }
}

TEST_CASE("large inputs saturate and stay finite") {
    Gru gru(2, 1, 1);
    Gru::Trace trace;
    float y = 0;
    const std::vector<float> huge(16, 1e30f);
    gru.forward(huge, trace, std::span(&y, 1));
    CHECK(std::isfinite(y));
}

TEST_CASE("its gradient is that of the equations, through all steps") {
    for (const std::size_t steps : {1u, 2u, 8u, 16u}) {
        const std::size_t inputs = 3, outputs = 2;
        Case one(inputs, outputs, steps, static_cast<std::uint32_t>(40 + steps));
        // loss = (y0 - 0.3)^2 / 2 + (y1 + 0.2)^2 / 2
        const auto loss = [&](const Vector &w) {
            const Vector y = plain(w, one.exact, inputs, outputs);
            return 0.5 * (y[0] - 0.3) * (y[0] - 0.3) + 0.5 * (y[1] + 0.2) * (y[1] + 0.2);
        };
        Gru::Trace trace;
        std::vector<float> y(outputs);
        one.gru.forward(one.sequence, trace, y);
        const std::vector<float> by_outputs = {y[0] - 0.3f, y[1] + 0.2f};
        one.gru.backward(one.sequence, trace, by_outputs);
        double largest = 0;
        for (std::size_t i = 0; i < one.weights.size(); ++i) {
            Vector moved = one.weights;
            moved[i] += 1e-5;
            const double above = loss(moved);
            moved[i] -= 2e-5;
            const double numeric = (above - loss(moved)) / 2e-5;
            INFO(steps << " steps, weight " << i);
            CHECK(std::abs(numeric - double(one.gru.gradient()[i])) <
                  2e-3 + 0.01 * std::abs(numeric));
            largest = std::max(largest, std::abs(numeric));
        }
        CHECK(largest > 0.1); // there was something to compare
    }
}

TEST_CASE("it learns to remember: which of two marks was seen six steps ago") {
    Gru gru(2, 1, 7);
    std::mt19937 random(8);
    Gru::Trace trace;
    double error[2] = {};
    for (int i = 0; i < 6000; ++i) {
        std::vector<float> sequence(14, 0.0f);
        const bool mark = (random() & 1) != 0;
        sequence[0] = mark ? 1 : -1;
        for (std::size_t t = 0; t < 7; ++t)
            sequence[2 * t + 1] = static_cast<float>(random() % 100) * 0.01f; // of no meaning
        float y = 0;
        gru.forward(sequence, trace, std::span(&y, 1));
        const float off = y - (mark ? 1.0f : -1.0f);
        gru.backward(sequence, trace, std::span(&off, 1));
        if (i % 8 == 7)
            gru.learn(0.01f);
        if (i < 200 || i >= 5800)
            error[i >= 5800] += double(off * off) / 200;
    }
    CHECK(error[0] > 0.5);
    CHECK(error[1] < 0.02);
}

TEST_CASE("the same seed and the same lessons give the same network; another seed does not") {
    const auto taught = [](std::uint32_t seed) {
        Gru gru(3, 1, seed);
        Gru::Trace trace;
        const std::vector<float> sequence(24, 0.5f);
        for (int i = 0; i < 50; ++i) {
            float y = 0;
            gru.forward(sequence, trace, std::span(&y, 1));
            const float off = y - 0.7f;
            gru.backward(sequence, trace, std::span(&off, 1));
            gru.learn(0.01f);
        }
        return std::vector<float>(gru.weights().begin(), gru.weights().end());
    };
    CHECK(taught(1) == taught(1));
    CHECK(taught(1) != taught(2));
}

TEST_CASE("a gradient that is no number changes nothing, and a huge one little") {
    Gru gru(1, 1, 3);
    const std::vector<float> before(gru.weights().begin(), gru.weights().end());
    Gru::Trace trace;
    float y = 0;
    const std::vector<float> sequence(4, 1.0f);
    gru.forward(sequence, trace, std::span(&y, 1));
    const float nan = std::nanf("");
    gru.backward(sequence, trace, std::span(&nan, 1));
    gru.learn(0.1f);
    CHECK(std::vector<float>(gru.weights().begin(), gru.weights().end()) == before);
    const float huge = 1e9f;
    gru.backward(sequence, trace, std::span(&huge, 1));
    gru.learn(0.01f);
    for (std::size_t i = 0; i < before.size(); ++i)
        CHECK(std::abs(gru.weights()[i] - before[i]) < 0.02f);
}

TEST_CASE("weights are read back; another shape, or what is no weight, is refused") {
    const Seal seal{"TMTEST.\n", 1, "test"};
    Gru from(3, 2, 5), to(3, 2, 6), other(4, 2, 5);
    ByteWriter out;
    from.encode(out);
    const auto bytes = out.sealed(seal);
    auto content = open_sealed(bytes, seal);
    REQUIRE(content);
    REQUIRE(to.decode(*content, seal));
    CHECK(content->complete());
    CHECK(std::equal(from.weights().begin(), from.weights().end(), to.weights().begin()));
    content = open_sealed(bytes, seal);
    const auto refused = other.decode(*content, seal);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().sentence == "this is no usable test: its network has another shape");
    for (const float bad : {std::nanf(""), INFINITY, 1e6f}) {
        from.weights()[10] = bad;
        ByteWriter odd;
        from.encode(odd);
        const auto odd_bytes = odd.sealed(seal);
        auto odd_content = open_sealed(odd_bytes, seal);
        REQUIRE(odd_content);
        CHECK_FALSE(to.decode(*odd_content, seal));
    }
}
