// SPDX-License-Identifier: GPL-2.0-or-later
//
// What would make a migration converge, and which of it is cheapest. Costs are about the seconds of its time that
// the guest loses: those of a longer downtime are just that; a guest held back by a share loses that share of the rest
// of the migration; after postcopy it waits for pages about half as long as sending them takes, and a failure can
// no longer be undone, which counts as a quarter of a second. What costs the guest nothing is put on the same scale:
// a bandwidth that was held down by a setting is cheap, one that the link doesn't have is not; waiting is cheap.
#include "migrate/forecast.h"

namespace tidemark {

namespace {

constexpr double kCostOfSetBandwidth = 0.02, kCostOfMoreLink = 1; // each time that it is doubled
constexpr double kCostOfWaiting = 0.002;                          // a second
constexpr double kCostOfNoReturn = 0.25;
constexpr double kMostBandwidth = 64, kMostDowntime = 60, kMostSlowdown = 0.99;
constexpr unsigned kDraws = 12, kSteps = 9;
// What is advised is so much more than what just helps in all draws: a guest is never quite as it is drawn.
constexpr double kMargin = 1.05;

class Search {
  public:
    Search(const WriteModel &model, const ForecastTerms &terms, double patience)
        : model_(model), terms_(terms), patience_(patience) {
        for (unsigned draw = 1; draw <= kDraws; ++draw)
            models_.push_back(drawn(model, draw));
    }

    std::vector<Remedy> all() {
        predictor();
        wait();
        bandwidth();
        downtime();
        throttle();
        postcopy();
        std::stable_sort(found_.begin(), found_.end(),
                         [](const Remedy &a, const Remedy &b) { return a.cost < b.cost; });
        return found_;
    }

  private:
    // Whether nearly all draws converge once `change` was made to the terms.
    template <typename Change> bool helps(Change change) const {
        unsigned failed = 0;
        for (unsigned draw = 1; draw <= kDraws; ++draw) {
            RunTerms run = drawn_terms(terms_, patience_, draw);
            change(run);
            failed += !run_precopy(models_[draw - 1], run).converged;
            if (failed > kDraws / 10)
                return false;
        }
        return true;
    }
    template <typename Change> Remedy remedy(RemedyKind kind, double value, Change change) const {
        RunTerms run = drawn_terms(terms_, patience_, 0);
        change(run);
        return {kind, value, 0, run_precopy(model_, run)};
    }
    // The least value between two that helps, `low` not included; none if not even `high` does.
    template <typename Change>
    double least(double low, double high, bool by_factor, Change change) const {
        if (!helps([&](RunTerms &run) { change(run, high); }))
            return 0;
        for (unsigned step = 0; step < kSteps; ++step) {
            const double middle = by_factor ? std::sqrt(low * high) : (low + high) / 2;
            (helps([&](RunTerms &run) { change(run, middle); }) ? high : low) = middle;
        }
        return high;
    }
    void offer(Remedy found, double cost) {
        found.cost = cost;
        found_.push_back(found);
    }

    void predictor() {
        const auto change = [](RunTerms &run) { run.planned = true; };
        if (!terms_.planned && helps(change))
            offer(remedy(RemedyKind::predictor, 1, change), 0);
    }

    // Classes fall quiet one after the other: the first such moment from which it works.
    void wait() {
        std::vector<double> moments;
        for (const WriteClass &c : model_.classes)
            if (const double in = c.quiet_in(); in > 0 && in < 48 * 3600)
                moments.push_back(in + 0.01 * c.cycle);
        std::sort(moments.begin(), moments.end());
        for (const double moment : moments) {
            const auto change = [&](RunTerms &run) { run.start = moment; };
            if (helps(change)) {
                offer(remedy(RemedyKind::wait, moment, change), kCostOfWaiting * moment);
                return;
            }
        }
    }

    void bandwidth() {
        const auto change = [](RunTerms &run, double factor) { run.bandwidth *= factor; };
        double factor = least(1, kMostBandwidth, true, change);
        if (factor <= 0)
            return;
        factor *= kMargin;
        const double each = terms_.bandwidth_set ? kCostOfSetBandwidth : kCostOfMoreLink;
        offer(remedy(RemedyKind::bandwidth, factor * terms_.bandwidth,
                     [&](RunTerms &run) { change(run, factor); }),
              each * std::log2(factor));
    }

    void downtime() {
        const auto change = [](RunTerms &run, double limit) { run.downtime_limit = limit; };
        const double limit = kMargin * least(terms_.downtime_limit, kMostDowntime, true, change);
        if (limit > 0)
            offer(remedy(RemedyKind::downtime, limit, [&](RunTerms &run) { change(run, limit); }),
                  limit - terms_.downtime_limit);
    }

    // The model was learnt from a guest that was held back already: what is asked for includes that.
    void throttle() {
        const double running = 1 - terms_.already_slowed;
        const auto change = [&](RunTerms &run, double slowdown) {
            run.slowdown = 1 - (1 - slowdown) / running;
        };
        double slowdown = least(terms_.already_slowed, kMostSlowdown, false, change);
        if (slowdown <= 0)
            return;
        slowdown = std::min(kMostSlowdown, 1 - (1 - slowdown) / kMargin);
        const Remedy found = remedy(RemedyKind::throttle, std::ceil(slowdown * 100) / 100,
                                    [&](RunTerms &run) { change(run, slowdown); });
        offer(found, slowdown * found.with.seconds);
    }

    // It needs no convergence. What is dirty when everything was sent once is what the guest will wait for.
    void postcopy() {
        Run run;
        RunTerms terms =
            drawn_terms(terms_, 2 * model_.pending() * kSentPage / terms_.bandwidth, 0);
        terms.downtime_limit = terms.reserve = terms.overhead = 0;
        const Run endless = run_precopy(model_, terms);
        const double rest = endless.least * kSentPage / terms_.bandwidth;
        run.converged = true;
        run.least = endless.least;
        run.bytes = (model_.pending() + endless.least) * kSentPage;
        run.seconds = run.bytes / terms_.bandwidth;
        run.downtime = terms_.overhead;
        offer({RemedyKind::postcopy, 0, 0, run}, rest / 2 + kCostOfNoReturn);
    }

    const WriteModel &model_;
    const ForecastTerms &terms_;
    const double patience_;
    std::vector<WriteModel> models_; // drawn
    std::vector<Remedy> found_;
};

} // namespace

std::vector<Remedy> remedies_of(const WriteModel &model, const ForecastTerms &terms,
                                double patience) {
    return Search(model, terms, patience).all();
}

} // namespace tidemark
