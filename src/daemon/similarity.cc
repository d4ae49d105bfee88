// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/similarity.h"

#include <algorithm>
#include <cmath>

namespace tidemark::daemon {
namespace {

constexpr double kHeatWeight = 0.45;
constexpr double kContentWeight = 0.35;
constexpr double kWorkloadWeight = 0.10;
constexpr double kPhasesWeight = 0.10;
constexpr double kPhasesAfter = 60; // seconds

double clean(float heat) {
    return std::isfinite(heat) ? std::max(heat, 0.0F) : 0.0F;
}

// Heat in cells of cell_bytes, spread evenly where a cell of the guest is larger or lies across two.
std::vector<double> resampled(const GuestTraits &guest, std::uint64_t cell_bytes) {
    std::vector<double> cells(guest.heat.size() * guest.cell_bytes / cell_bytes + 1, 0.0);
    for (std::size_t i = 0; i < guest.heat.size(); ++i) {
        const double heat = clean(guest.heat[i]);
        std::uint64_t at = i * guest.cell_bytes;
        const std::uint64_t end = at + guest.cell_bytes;
        while (at < end) {
            const std::uint64_t next = std::min(end, (at / cell_bytes + 1) * cell_bytes);
            cells[at / cell_bytes] +=
                heat * static_cast<double>(next - at) / static_cast<double>(guest.cell_bytes);
            at = next;
        }
    }
    return cells;
}

template <typename Heat, typename Clean>
std::optional<double> cosine(const Heat &left, const Heat &right, Clean clean_of) {
    double dot = 0, left_sum = 0, right_sum = 0;
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
        dot += std::sqrt(clean_of(left[i]) * clean_of(right[i]));
    }
    for (const auto heat : left) {
        left_sum += clean_of(heat);
    }
    for (const auto heat : right) {
        right_sum += clean_of(heat);
    }
    if (left_sum <= 0 || right_sum <= 0) {
        return std::nullopt;
    }
    return std::clamp(dot / std::sqrt(left_sum * right_sum), 0.0, 1.0);
}

double ratio(double a, double b) {
    return std::min(a, b) / std::max(a, b);
}

std::optional<double> alike_phases(const GuestTraits &a, const GuestTraits &b) {
    if (a.seconds < kPhasesAfter || b.seconds < kPhasesAfter || a.phases == 0 || b.phases == 0) {
        return std::nullopt;
    }
    const auto a_minute = [](const GuestTraits &guest) {
        return static_cast<double>(guest.phase_changes) * 60 / guest.seconds;
    };
    // One more of each, so that none and few are near each other.
    return (ratio(a.phases, b.phases) + ratio(1 + a_minute(a), 1 + a_minute(b))) / 2;
}

} // namespace

ContentSketch ContentSketch::of(std::vector<std::uint64_t> values, std::uint64_t pages) {
    const auto not_ascending = [](std::uint64_t a, std::uint64_t b) { return a >= b; };
    if (std::adjacent_find(values.begin(), values.end(), not_ascending) != values.end()) {
        return {};
    }
    if (values.size() > kMost) {
        values.resize(kMost);
    }
    return {std::move(values), pages};
}

std::optional<double> resemblance(const ContentSketch &a, const ContentSketch &b) {
    if (a.values.empty() || b.values.empty()) {
        return std::nullopt;
    }
    // A sketch that is full says nothing about what is above its last value.
    std::uint64_t known = UINT64_MAX;
    for (const ContentSketch *sketch : {&a, &b}) {
        if (sketch->pages > sketch->values.size()) {
            known = std::min(known, sketch->values.back());
        }
    }
    std::size_t i = 0, j = 0, both = 0, any = 0;
    while (any < ContentSketch::kMost && (i < a.values.size() || j < b.values.size())) {
        const std::uint64_t left = i < a.values.size() ? a.values[i] : UINT64_MAX;
        const std::uint64_t right = j < b.values.size() ? b.values[j] : UINT64_MAX;
        if (std::min(left, right) > known) {
            break;
        }
        both += left == right;
        ++any;
        i += left <= right;
        j += right <= left;
    }
    return any == 0 ? 0 : static_cast<double>(both) / static_cast<double>(any);
}

std::optional<double> heat_cosine(const GuestTraits &a, const GuestTraits &b) {
    if (a.cell_bytes == 0 || b.cell_bytes == 0 || a.heat.empty() || b.heat.empty()) {
        return std::nullopt;
    }
    if (a.cell_bytes == b.cell_bytes) {
        return cosine(a.heat, b.heat, clean); // nearly always: no copies
    }
    const std::uint64_t cell_bytes = std::max(a.cell_bytes, b.cell_bytes);
    return cosine(resampled(a, cell_bytes), resampled(b, cell_bytes),
                  [](double heat) { return heat; });
}

Similarity compare(const GuestTraits &a, const GuestTraits &b) {
    Similarity found;
    if (a.group.empty() || a.group != b.group) {
        return found;
    }
    found.heat = heat_cosine(a, b);
    found.content = resemblance(a.sketch, b.sketch);
    if (!found.heat && !found.content) {
        return found;
    }
    found.comparable = true;
    double sum = 0, weights = 0;
    const auto add = [&](double weight, const std::optional<double> &part) {
        if (part) {
            sum += weight * *part;
            weights += weight;
        }
    };
    const auto known = [](const GuestTraits &guest) {
        return !guest.workload.empty() && guest.workload != "unknown";
    };
    if (known(a) && known(b)) {
        found.workload = a.workload == b.workload ? 1 : 0;
    }
    found.phases = alike_phases(a, b);
    add(kHeatWeight, found.heat);
    add(kContentWeight, found.content);
    const double sure = std::min(a.workload_confidence, b.workload_confidence);
    add(kWorkloadWeight * std::clamp(sure, 0.0, 1.0), found.workload);
    add(kPhasesWeight, found.phases);
    found.score = sum / weights;
    return found;
}

} // namespace tidemark::daemon
