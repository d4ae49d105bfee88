// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile/phase_detector.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace tidemark {

namespace {

constexpr double kEnoughFresh = 16;    // pages in a second
constexpr float kFollow = 0.1F;        // of the way to the newest vector
constexpr double kChangesHalfLife = 5; // minutes

double dot(const std::vector<float> &a, const std::vector<float> &b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += double{a[i]} * double{b[i]};
    return sum;
}

// 0: the same direction, 1: nothing in common. A vector of nothing has nothing in common with any.
double distance(const std::vector<float> &a, const std::vector<float> &b) {
    const double lengths = std::sqrt(dot(a, a)) * std::sqrt(dot(b, b));
    return lengths > 1e-9 ? 1 - dot(a, b) / lengths : 1;
}

} // namespace

PhaseDetector::PhaseDetector(std::uint32_t pages)
    : least_(std::clamp(pages / 4096.0, 64.0, 256.0)),
      recent_(std::min((pages + kRegionPages - 1) / kRegionPages, kElements)),
      before_(recent_.size()) {
    for (Phase &phase : known_)
        phase.mean.resize(recent_.size());
}

void PhaseDetector::used(PageRun run) {
    fresh_ += run.count;
    for (std::uint32_t at = run.first.value; at < run.end().value;) {
        const std::uint32_t r = at / kRegionPages;
        const std::uint32_t end = std::min(run.end().value, (r + 1) * kRegionPages);
        recent_[r % recent_.size()] += static_cast<float>(end - at);
        at = end;
    }
}

void PhaseDetector::tick(double now) {
    const double elapsed = now - judged_;
    if (elapsed < 1)
        return;
    judged_ = now;
    recent_changes_ *= std::exp2(-elapsed / 60 / kChangesHalfLife);
    if (fresh_ >= kEnoughFresh)
        seen_at_ = now;
    if (now - seen_at_ < kQuiet)
        judge(now);
    fresh_ = 0;
    before_ = recent_;
    const double left = std::exp2(-elapsed / kHalfLife);
    for (float &heat : recent_)
        heat = heat > 1e-3F ? static_cast<float>(heat * left) : 0.0F;
}

void PhaseDetector::judge(double now) {
    const double from_mean = phase_ != nullptr ? distance(recent_, phase_->mean) : 1;
    if (from_mean <= kOther)
        phase_->last = now;
    if (from_mean <= kSame) {
        const auto length = static_cast<float>(std::sqrt(dot(recent_, recent_)));
        for (std::size_t i = 0; i < recent_.size(); ++i)
            phase_->mean[i] += kFollow * (recent_[i] / length - phase_->mean[i]);
    }
    if (from_mean <= kOther)
        return;
    const double heat = std::accumulate(recent_.begin(), recent_.end(), 0.0);
    if (heat >= least_ && distance(recent_, before_) <= kSteady)
        enter(now);
}

void PhaseDetector::enter(double now) {
    Phase *nearest = nullptr;
    double least = kOther;
    for (Phase &phase : known_)
        if (phase.number != 0 && distance(recent_, phase.mean) <= least) {
            least = distance(recent_, phase.mean);
            nearest = &phase;
        }
    if (nearest == nullptr) {
        // A free place, or that of the phase that was left longest ago.
        nearest =
            &*std::min_element(known_.begin(), known_.end(), [](const Phase &a, const Phase &b) {
                return a.number == 0 || b.number == 0 ? a.number < b.number : a.last < b.last;
            });
        nearest->number = ++numbered_;
        const auto length = static_cast<float>(std::sqrt(dot(recent_, recent_)));
        for (std::size_t i = 0; i < recent_.size(); ++i)
            nearest->mean[i] = recent_[i] / length;
    }
    if (phase_ != nullptr) {
        ++changes_;
        recent_changes_ += 1 / (kChangesHalfLife / std::numbers::ln2);
    }
    nearest->last = now;
    phase_ = nearest;
    current_ = phase_->number;
    changed_at_ = now;
}

std::size_t PhaseDetector::bytes() const {
    return (recent_.capacity() + before_.capacity()) * sizeof(float) +
           known_.size() * known_[0].mean.capacity() * sizeof(float);
}

} // namespace tidemark
