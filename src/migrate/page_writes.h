// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is known of the writes to one page, in four bytes: when the last one was seen, after what time they come
// again, how many such times that rests on, whether they agree, and whether the bytes change.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace tidemark {

using Nanos = std::uint64_t;

inline constexpr Nanos kSecond = 1'000'000'000;
inline constexpr Nanos kTick = kSecond / 32;
inline constexpr double kTickSeconds = 1.0 / 32;

// A moment, in ticks, around a clock of 65535 of them (34 minutes); 0 is "never, or long ago". Whoever keeps
// stamps lets them go before the clock has come around (Writes::age()).
using Stamp = std::uint16_t;
inline constexpr std::uint32_t kStamps = 65535;
inline constexpr std::uint32_t kStampOld = kStamps / 2; // ticks after which a stamp may be let go

constexpr Stamp stamp_of(Nanos since_start) {
    return static_cast<Stamp>(since_start / kTick % kStamps + 1);
}

// Ticks from `then` to `now`, neither 0; less than once around.
constexpr std::uint32_t ticks_between(Stamp then, Stamp now) {
    return now >= then ? std::uint32_t{now} - then : now + kStamps - then;
}

// A span of time in a byte: 16 steps double it, the first is a tick. 0 is "not known".
class SpanCode {
  public:
    static constexpr int kOctave = 16;

    static std::uint8_t of_ticks(std::uint32_t ticks) {
        if (ticks <= 1)
            return 1;
        // The leading bit says which octave, the eight behind it which step.
        const auto octave = static_cast<unsigned>(std::bit_width(ticks)) - 1;
        const std::uint32_t within = (std::uint64_t{ticks} << 8 >> octave) & 255;
        return static_cast<std::uint8_t>(
            std::min<unsigned>(1 + kOctave * octave + steps_[within], 255));
    }
    static std::uint8_t of_seconds(double seconds) {
        const double ticks = std::min(seconds / kTickSeconds, double{UINT32_MAX});
        return of_ticks(static_cast<std::uint32_t>(ticks + 0.5));
    }
    static double seconds(std::uint8_t code) { return spans_[code]; }

  private:
    static std::array<double, 256> make_spans() {
        std::array<double, 256> spans{};
        for (std::size_t code = 1; code < spans.size(); ++code)
            spans[code] = kTickSeconds * std::exp2((static_cast<double>(code) - 1) / kOctave);
        return spans;
    }
    static std::array<std::uint8_t, 256> make_steps() {
        std::array<std::uint8_t, 256> steps{};
        for (std::size_t i = 0; i < steps.size(); ++i)
            steps[i] = static_cast<std::uint8_t>(
                std::lround(kOctave * std::log2(1 + static_cast<double>(i) / 256)));
        return steps;
    }
    static inline const std::array<double, 256> spans_ = make_spans();
    static inline const std::array<std::uint8_t, 256> steps_ = make_steps();
};

class PageWrites {
  public:
    static constexpr std::uint32_t kMostGaps = 7, kMostAgreed = 3, kMostSilent = 7;
    static constexpr std::uint32_t kChanging = 1, kSilent = 3; // what silent() says

    Stamp last() const { return static_cast<Stamp>(field(0, 16)); }
    std::uint8_t span() const { return static_cast<std::uint8_t>(field(16, 8)); }
    std::uint32_t gaps() const { return field(24, 3); }   // seen, up to kMostGaps
    std::uint32_t agreed() const { return field(27, 2); } // in a row, up to kMostAgreed
    std::uint32_t silent() const {
        return field(29, 3);
    } // 0 not known, 1 changing, more: how often not
    bool never() const { return (bits_ & 0x07ffffff) == 0; } // written
    bool known_silent() const { return silent() >= kSilent; }
    bool changing() const { return silent() == kChanging; }

    void set_last(Stamp stamp) { set(0, 16, stamp); }
    void set_span(std::uint8_t code) { set(16, 8, code); }
    void count_gap() { set(24, 3, std::min(gaps() + 1, kMostGaps)); }
    void set_agreed(std::uint32_t count) { set(27, 2, std::min(count, kMostAgreed)); }
    // Its bytes were compared with those before a write.
    void compared(bool same) {
        set(29, 3, same ? std::min(std::max(silent(), kChanging) + 1, kMostSilent) : kChanging);
    }

  private:
    std::uint32_t field(unsigned low, unsigned width) const {
        return bits_ >> low & ((1u << width) - 1);
    }
    void set(unsigned low, unsigned width, std::uint32_t value) {
        const std::uint32_t mask = ((1u << width) - 1) << low;
        bits_ = (bits_ & ~mask) | (value << low & mask);
    }
    std::uint32_t bits_ = 0;
};
static_assert(sizeof(PageWrites) == 4);

} // namespace tidemark
