// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/write_classes.h"

#include <array>

namespace tidemark {

namespace {

// Classes: by how often they are written, four for each doubling of it, and by whether they are at even intervals.
constexpr int kPerOctave = 4, kOctaves = 20;
constexpr double kSlowest = 1.0 / 4096; // writes a second; what is slower counts as never written
constexpr std::uint64_t kMostStripes = 4096;
// A page that every look finds, the short ones too, is written more often than that.
constexpr float kOftener = 3;
constexpr double kOftenInPhase = 4; // times in each busy phase: it belongs to it

constexpr double kTrialsEnough =
    8; // pages expected in one look, to learn a rate from how many there are
constexpr double kNearlyAll = 0.98;
constexpr float kGivenUp =
    4; // times its gap: a page that was not written for so long is left alone

struct Sum {
    double pages = 0, rates = 0, unchanged = 0;
    double found = 0; // pages, in the last look
};

class Census {
  public:
    Census(const Writes &writes, std::optional<WriteCycle> cycle)
        : writes_(writes), cycle_(cycle), moment_(writes, writes.looked()),
          watched_(writes.learnt_seconds()),
          // The next look follows closely every now and then: pages found then, too, have gaps no longer than that.
          short_(std::max(float(writes.period()) * 1e-9f / 8, float(kTickSeconds))) {}

    void count(std::span<const PageWrites> stripe, std::uint64_t stands_for, std::size_t pages) {
        const StripeForecast forecast = forecast_stripe(stripe, moment_);
        const double weight = double(stands_for) / double(pages);
        for (std::size_t i = 0; i < pages; ++i)
            count(stripe[i], forecast[i], weight);
    }

    WriteModel model() const {
        WriteModel model;
        model.watched = watched_;
        model.late = writes_.late();
        model.looks = unsigned(std::min<std::uint64_t>(writes_.looks(), 1000000));
        WriteClass never;
        never.pages = never_;
        model.classes.push_back(never);
        for (const Kind kind : {kRandom, kRegular, kCycled})
            for (const Sum &sum : sums_[kind])
                if (sum.pages > 0)
                    model.classes.push_back(class_of(sum, kind));
        if (cycle_)
            keep_always(model);
        return model;
    }

  private:
    enum Kind : unsigned { kRandom, kRegular, kCycled };

    void count(const PageWrites &page, const NextWrite &next, double weight) {
        double rate = rate_of(page, next);
        Kind kind = next.regular ? kRegular : kRandom;
        if (const double busy_rate = cycled_rate(page, rate); busy_rate > 0) {
            rate = busy_rate;
            kind = kCycled;
        }
        if (rate < kSlowest) {
            never_ += weight;
            return;
        }
        const double steps = std::log2(rate / kSlowest) * kPerOctave;
        const int bin = std::clamp(int(steps), 0, kPerOctave * kOctaves - 1);
        Sum &sum = sums_[kind][std::size_t(bin)];
        sum.pages += weight;
        sum.rates += weight * rate;
        sum.unchanged += next.silent ? weight : 0;
        sum.found += !page.never() && page.last() == moment_.newest ? weight : 0;
    }
    // 0, or how often it is written in the busy part of the cycle.
    double cycled_rate(const PageWrites &page, double rate) const {
        if (!cycle_ || page.last() == 0)
            return 0;
        const double often = kOftenInPhase / cycle_->busy;
        if (cycle_->position < cycle_->busy)
            return rate >= often ? rate : 0;
        // It is quiet: those that were written in the busy part before it, and not since.
        const double age = double(ticks_between(page.last(), moment_.now)) * kTickSeconds;
        const double span = page.gaps() > 0 ? SpanCode::seconds(page.span()) : 0;
        return span > 0 && 1 / span >= often && age > kOftenInPhase * span &&
                       age <= cycle_->position
                   ? 1 / span
                   : 0;
    }
    // Some of those that are written in busy parts are so in quiet ones too: those that are written most.
    void keep_always(WriteModel &model) const {
        if (cycle_->position >= cycle_->busy)
            return;
        double left = cycle_->quiet_level * double(writes_.period()) * 1e-9;
        std::vector<WriteClass> always;
        for (auto c = model.classes.rbegin(); c != model.classes.rend() && left >= 1; ++c) {
            if (c->cycle <= 0)
                continue;
            WriteClass part = *c;
            part.pages = std::min(left, c->pages);
            part.cycle = part.busy = part.position = 0;
            c->pages -= part.pages;
            left -= part.pages;
            always.push_back(part);
        }
        model.classes.insert(model.classes.end(), always.begin(), always.end());
    }
    // Writes a second.
    double rate_of(const PageWrites &page, const NextWrite &next) const {
        if (!(next.gap < NextWrite::kLongAgo))
            return 0;
        // Expected for its neighbours' sake; but it has been watched for longer than that.
        if (page.never() && double(next.gap) < watched_)
            return 0;
        const float gap = page.gaps() > 0 ? float(SpanCode::seconds(page.span())) : next.gap;
        if (next.regular || next.gap > kGivenUp * gap)
            return 1 / double(next.gap);
        const bool always =
            page.gaps() > 0 && page.last() == moment_.newest && gap <= 1.5f * short_;
        return double((always ? kOftener : 1) / gap);
    }
    // Pages that are written at random, at about that rate: how many of them one look finds says it better than the
    // gaps between looks do, which are never shorter than a look.
    double by_found(const Sum &sum, double rate) const {
        const double look = double(moment_.coverage);
        if (look <= 0 || sum.pages * std::min(1.0, rate * look) < kTrialsEnough)
            return rate;
        const double share =
            std::min((sum.found + 0.5) / (sum.pages + 1), 1 - 0.5 / (sum.pages + 1));
        const double found = -std::log1p(-share) / look;
        return share > kNearlyAll ? std::max(rate, found) : found;
    }
    WriteClass class_of(const Sum &sum, Kind kind) const {
        WriteClass c;
        c.pages = sum.pages;
        c.rate = sum.rates / sum.pages;
        if (kind == kRandom || (kind == kCycled && cycle_->position < cycle_->busy))
            c.rate = by_found(sum, c.rate);
        c.regular = kind == kRegular;
        if (kind == kCycled) {
            c.cycle = cycle_->cycle;
            c.busy = cycle_->busy;
            c.position = cycle_->position;
        }
        c.unchanged = sum.unchanged / sum.pages;
        // How many times such a page was written while it was watched says how well its rate is known.
        const double times = std::min(c.rate * watched_, double(writes_.looks()));
        c.doubt = std::clamp(0.5 / std::sqrt(std::max(1.0, times)), 0.02, 0.5);
        return c;
    }

    const Writes &writes_;
    const std::optional<WriteCycle> cycle_;
    const WritesMoment moment_;
    const double watched_; // seconds
    const float short_;    // seconds
    double never_ = 0;
    std::array<std::array<Sum, std::size_t(kPerOctave *kOctaves)>, 3> sums_{};
};

} // namespace

WriteModel classes_of(const Writes &writes, std::optional<WriteCycle> cycle) {
    Census census(writes, cycle);
    const std::uint64_t stripes = writes.all_pages() / kStripePages;
    const std::uint64_t step = std::max<std::uint64_t>(1, stripes / kMostStripes);
    for (std::size_t block = 0; block < Writes::kBlocks; ++block) {
        if (!writes.has(block))
            continue;
        const std::uint64_t pages = writes.pages(block);
        for (std::uint64_t first = 0; first < pages; first += step * kStripePages) {
            const auto stripe = writes.stripe(block, first / kStripePages);
            const std::uint64_t stands_for = std::min(pages - first, step * kStripePages);
            census.count(stripe, stands_for,
                         std::size_t(std::min<std::uint64_t>(stands_for, stripe.size())));
        }
    }
    return census.model();
}

void pend_all(WriteModel &model) {
    for (WriteClass &c : model.classes)
        c.pending = c.pages;
}

void pend_any(WriteModel &model, double left) {
    const double share = std::min(1.0, left / std::max(1.0, model.pages()));
    for (WriteClass &c : model.classes)
        c.pending = c.pages * share;
}

void pend_hottest(WriteModel &model, double left) {
    std::vector<WriteClass *> order;
    for (WriteClass &c : model.classes)
        order.push_back(&c);
    std::sort(order.begin(), order.end(),
              [](const WriteClass *a, const WriteClass *b) { return a->rate > b->rate; });
    for (WriteClass *c : order) {
        c->pending = std::min(left, c->pages);
        left -= c->pending;
    }
}

} // namespace tidemark
