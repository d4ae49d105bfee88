// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/next_write.h"

namespace tidemark {

namespace {

constexpr int kAlike = 4;      // steps of SpanCode: gaps no further apart are the same
constexpr float kSoon = 0.01f; // seconds: "any moment now"

float seconds_since(Stamp then, const WritesMoment &moment) {
    // What the last look found may have been written just before it.
    if (then == moment.newest)
        return moment.since;
    return static_cast<float>(ticks_between(then, moment.now) * kTickSeconds);
}

float gap_of(const PageWrites &page) {
    return static_cast<float>(SpanCode::seconds(page.span()));
}

// What the pages of a stripe have in common.
struct Neighbours {
    Neighbours(std::span<const PageWrites> pages, const WritesMoment &moment);

    unsigned written = 0, once = 0, known = 0; // known: gaps
    unsigned silent = 0, changing = 0;
    float gap = 0;        // the median of those known
    bool regular = false; // most of them are like it
    bool passed = false;  // written once, all at a time: something walked by
    float rate = 0;       // writes a second, of an average page
};

Neighbours::Neighbours(std::span<const PageWrites> pages, const WritesMoment &moment) {
    std::array<std::uint8_t, kStripePages> spans;
    float first = NextWrite::kNever, last = 0;
    for (const PageWrites &page : pages) {
        silent += page.silent() > PageWrites::kChanging;
        changing += page.changing();
        if (page.never())
            continue;
        ++written;
        if (page.last() == 0)
            continue;
        const float age = seconds_since(page.last(), moment);
        if (page.gaps() == 0) {
            ++once;
            first = std::min(first, age);
            last = std::max(last, age);
            rate += 1 / std::max({moment.learnt, age, kSoon});
        } else {
            spans[known++] = page.span();
            rate += 1 / std::max(gap_of(page), age);
        }
    }
    rate /= kStripePages;
    passed = once >= kStripePages / 2 && last - first <= 2 * moment.coverage + 0.25f;
    if (known == 0)
        return;
    const auto middle = spans.begin() + known / 2;
    std::nth_element(spans.begin(), middle, spans.begin() + known);
    gap = static_cast<float>(SpanCode::seconds(*middle));
    const auto alike = std::count_if(spans.begin(), spans.begin() + known, [&](std::uint8_t span) {
        return std::abs(span - *middle) <= kAlike;
    });
    regular = known >= 8 && alike * 4 >= long{known} * 3 && gap > 3 * moment.usual;
}

// The gap is about the same every time. False: it should have been over by now.
bool expect_regular(NextWrite &next, float gap, float age, float coverage) {
    if (age > gap * 1.05f + coverage)
        return false;
    next.gap = gap;
    next.regular = true;
    next.seconds = std::max(gap - age, kSoon);
    return true;
}

// Any moment is as good as another; what has not come for long comes seldom.
void expect_any_time(NextWrite &next, float gap, float age) {
    next.gap = next.seconds = std::max({gap, age, kSoon});
}

void expect_unwritten(NextWrite &next, const Neighbours &around) {
    if (around.written < kStripePages / 4 || around.rate <= 0)
        return;
    next.gap = next.seconds = std::min(1 / around.rate, NextWrite::kLongAgo);
}

void expect_once(NextWrite &next, float age, const Neighbours &around, const WritesMoment &moment) {
    if (around.regular && expect_regular(next, around.gap, age, moment.coverage))
        return;
    if (around.passed) {
        if (moment.sweep > 0 && expect_regular(next, moment.sweep, age, moment.coverage))
            return;
        // Whatever walks by takes longer than has been seen to come again; the later, the later.
        next.gap = 2 * std::max(moment.learnt, age);
        next.seconds = next.gap - age;
        return;
    }
    expect_any_time(next, around.known >= 4 ? around.gap : moment.learnt, age);
}

void expect_again(NextWrite &next, const PageWrites &page, float age, const Neighbours &around,
                  const WritesMoment &moment) {
    float gap = gap_of(page);
    const bool like_others = around.regular && std::abs(std::log2(gap / around.gap)) <= 0.25f;
    if (like_others && expect_regular(next, around.gap, age, moment.coverage))
        return;
    if (page.agreed() >= 2 && expect_regular(next, gap, age, moment.coverage))
        return;
    if (page.gaps() < 4 && around.known >= 8) // few say little: half is what the neighbours say
        gap = std::sqrt(gap * around.gap);
    expect_any_time(next, gap, age);
}

} // namespace

WritesMoment::WritesMoment(const Writes &writes, Nanos at)
    : now(writes.stamp(at)), newest(writes.newest()),
      learnt(static_cast<float>(writes.learnt_seconds())),
      coverage(static_cast<float>(writes.coverage_seconds())),
      usual(static_cast<float>(writes.usual_seconds())),
      since(static_cast<float>(at - std::min(at, writes.looked())) * 1e-9f),
      sweep(static_cast<float>(writes.sweep_seconds().value_or(0))) {}

StripeForecast forecast_stripe(std::span<const PageWrites> pages, const WritesMoment &moment) {
    StripeForecast all;
    if (std::all_of(pages.begin(), pages.end(),
                    [](const PageWrites &page) { return page.never(); }))
        return all;
    const Neighbours around(pages, moment);
    for (std::size_t i = 0; i < all.size(); ++i) {
        const PageWrites &page = pages[i];
        NextWrite &next = all[i];
        next.never = page.never();
        next.silent =
            page.known_silent() || (around.silent >= 3 && around.changing == 0 && !page.changing());
        if (page.never()) {
            expect_unwritten(next, around);
        } else if (page.last() == 0) {
            next.gap = next.seconds = NextWrite::kLongAgo;
        } else {
            const float age = seconds_since(page.last(), moment);
            if (page.gaps() == 0)
                expect_once(next, age, around, moment);
            else
                expect_again(next, page, age, around, moment);
        }
    }
    return all;
}

} // namespace tidemark
