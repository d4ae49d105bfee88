// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/forecast.h"

#include <cstdio>
#include <numbers>

namespace tidemark {

namespace {

constexpr unsigned kDraws = 48;
// Shares of the draws that converge. "Never" is said only if hardly one does.
constexpr double kSurely = 0.8, kHardly = 0.04;
// Less than this teaches nothing about how a guest writes.
constexpr unsigned kFewestLooks = 2;

// Repeatable: the same question has the same answer.
class Draws {
  public:
    explicit Draws(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
    double even() { // 0 .. 1 (splitmix64: Steele, Lea and Flood 2014)
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return (double((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
    }
    double factor(double doubt) { // around 1
        const double radius = std::sqrt(-2 * std::log(even()));
        return std::exp(doubt * radius * std::cos(2 * std::numbers::pi * even()));
    }

  private:
    std::uint64_t state_;
};

Bound bound_of(std::vector<double> values) {
    if (values.empty())
        return {};
    std::sort(values.begin(), values.end());
    const auto at = [&](double share) {
        return values[std::min(values.size() - 1, std::size_t(share * double(values.size())))];
    };
    return {at(0.5), at(0.9)};
}

std::string mib(double bytes) {
    char text[48];
    std::snprintf(text, sizeof(text), "%.1f MiB", bytes / (1 << 20));
    return text;
}

std::string seconds(double value) {
    char text[48];
    if (value < 10)
        std::snprintf(text, sizeof(text), "%.0f ms", value * 1000);
    else
        std::snprintf(text, sizeof(text), "%.0f s", value);
    return text;
}

// What has to be sent at one time at least: with no limit to reach, the fewest pages left after everything was sent.
double irreducible_pages(const WriteModel &model, const ForecastTerms &terms, bool planned) {
    RunTerms run = drawn_terms(terms, 0, 0);
    run.planned = planned;
    run.downtime_limit = run.overhead = run.reserve = 0;
    run.patience = 2 * model.pending() * kSentPage / terms.bandwidth + 5;
    return run_precopy(model, run).least;
}

std::string reason_of(const Forecast &f, const ForecastTerms &terms) {
    const double hold = f.irreducible / terms.bandwidth + terms.overhead;
    const std::string limit = "the limit is " + seconds(terms.downtime_limit);
    if (f.verdict == Verdict::converges)
        return "at the end about " + seconds(f.downtime.p50) + " are left to be sent; " + limit;
    if (f.verdict == Verdict::unknown)
        return "it is close: " + mib(f.irreducible) + " are rewritten as fast as they are sent, " +
               seconds(hold) + " of downtime at " + mib(terms.bandwidth) + "/s; " + limit;
    return mib(f.irreducible) + " are rewritten faster than " + mib(terms.bandwidth) +
           "/s can send them: they alone take " + seconds(hold) + " of downtime; " + limit;
}

} // namespace

WriteModel drawn(const WriteModel &model, std::uint64_t draw) {
    WriteModel other = model;
    if (draw == 0)
        return other;
    Draws draws(draw);
    for (WriteClass &c : other.classes) {
        c.rate *= draws.factor(c.doubt);
        c.position += c.cycle * 0.02 * (draws.even() - 0.5);
        if (c.cycle > 0 && c.position < 0)
            c.position += c.cycle;
    }
    return other;
}

RunTerms drawn_terms(const ForecastTerms &terms, double patience, std::uint64_t draw) {
    RunTerms run;
    run.bandwidth = terms.bandwidth;
    run.downtime_limit = terms.downtime_limit;
    run.reserve = terms.reserve;
    run.overhead = terms.overhead;
    run.planned = terms.planned;
    run.patience = patience;
    if (draw != 0) {
        Draws draws(draw ^ 0x5bd1e995u);
        run.bandwidth *= draws.factor(terms.bandwidth_doubt);
        run.past = draws.even();
        run.apart = draws.even();
    }
    return run;
}

double patience_of(const WriteModel &model, const ForecastTerms &terms) {
    if (terms.patience > 0)
        return terms.patience;
    return std::max(60.0, 4 * model.pages() * kSentPage / terms.bandwidth);
}

Forecast forecast_precopy(const WriteModel &model, const ForecastTerms &terms,
                          const ForecastErrors &errors) {
    Forecast f;
    f.quiet_in = std::numeric_limits<double>::infinity();
    if (terms.bandwidth <= 0) {
        f.reason = "the bandwidth is not known: name one, or ask again when a migration has run "
                   "for a moment";
        return f;
    }
    for (const WriteClass &c : model.classes)
        if (c.cycle > 0)
            f.quiet_in = c.quiet_in();
    const double patience = patience_of(model, terms);
    std::vector<double> time, bytes, downtime;
    unsigned converged = 0;
    for (unsigned draw = 1; draw <= kDraws; ++draw) {
        const Run run = run_precopy(drawn(model, draw), drawn_terms(terms, patience, draw));
        converged += run.converged;
        time.push_back(terms.seconds_so_far + run.seconds);
        bytes.push_back(terms.bytes_so_far + run.bytes);
        downtime.push_back(run.downtime);
    }
    f.chance = double(converged) / kDraws;
    f.raw = {bound_of(time), bound_of(bytes), bound_of(downtime)};
    const Bounds adjusted = errors.adjusted(f.raw);
    f.seconds = adjusted[0];
    f.bytes = adjusted[1];
    f.downtime = adjusted[2];
    f.irreducible = irreducible_pages(model, terms, true) * kSentPage;
    if (model.looks < kFewestLooks) {
        f.reason = "how the guest writes is not known yet: it has to be watched for a while";
        return f;
    }
    f.verdict = f.chance >= kSurely   ? Verdict::converges
                : f.chance <= kHardly ? Verdict::will_not
                                      : Verdict::unknown;
    f.reason = reason_of(f, terms);
    if (f.verdict == Verdict::will_not && model.late) { // migrations are given up for it
        f.verdict = Verdict::unknown;
        f.reason = "what the guest writes was not looked at for long: the next look will tell";
    }
    if (f.verdict != Verdict::converges)
        f.remedies = remedies_of(model, terms, patience);
    return f;
}

} // namespace tidemark
