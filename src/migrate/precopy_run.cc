// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrate/precopy_run.h"

#include <numeric>

namespace tidemark {

namespace {

// QEMU sends for so long before it asks again whether little enough is left.
constexpr double kPiece = 0.05;
// Looks at the dirty log, in the order of the plan, are about so far apart, and at least kGap.
constexpr double kLook = 0.1, kGap = 0.05;
// Of precopy.cc: the share of what may be left that the plan aims at, and seconds for the last sync.
constexpr double kAim = 0.8, kSlack = 0.015;
constexpr double kScanZeroPage = 0.4e-6; // seconds to see that a page is zero
constexpr unsigned kMostSyncs = 20000;

class Precopy {
  public:
    Precopy(const WriteModel &model, const RunTerms &terms)
        : model_(model), terms_(terms), page_seconds_(kSentPage / terms.bandwidth),
          limit_(std::max(0.0, terms.downtime_limit - terms.reserve) / page_seconds_) {
        for (const WriteClass &c : model.classes) {
            dirty_.push_back(c.pending);
            steady_ = steady_ && (c.cycle <= 0 || c.rate <= 0);
        }
        order_.resize(dirty_.size());
        std::iota(order_.begin(), order_.end(), 0u);
        std::sort(order_.begin(), order_.end(),
                  [&](unsigned a, unsigned b) { return rate(a) < rate(b); });
        send_zero_pages();
    }

    Run run() {
        run_.least = total();
        while (total() > limit_) {
            if (time_ > terms_.patience || run_.syncs >= kMostSyncs || stuck()) {
                finish();
                return run_;
            }
            terms_.planned ? planned_round() : stock_round();
            ++run_.syncs;
            run_.least = std::min(run_.least, total());
        }
        run_.converged = true;
        if (terms_.planned)
            last_round();
        finish();
        return run_;
    }

  private:
    double rate(unsigned i) const {
        const WriteClass &c = model_.classes[i];
        const double resent = terms_.planned ? 1 - c.unchanged : 1;
        return c.rate * resent * (1 - terms_.slowdown);
    }
    double total() const { return std::accumulate(dirty_.begin(), dirty_.end(), 0.0); }

    // They are among those that nobody writes, if there are enough of these.
    void send_zero_pages() {
        double left = std::min(model_.zero_pages, total());
        for (const unsigned i : order_) {
            const double taken = std::min(left, dirty_[i]);
            dirty_[i] -= taken;
            left -= taken;
        }
        const double sent = std::min(model_.zero_pages, model_.pending());
        run_.bytes += sent * kSentZeroPage;
        time_ += sent * (kScanZeroPage + kSentZeroPage / terms_.bandwidth);
    }

    // Writes that hit one page of class i in the next `seconds`.
    double writes(unsigned i, double seconds) const {
        const double from = terms_.start + time_;
        return rate(i) * model_.classes[i].busy_between(from, from + seconds);
    }
    // The chance that a page of it is hit at all.
    double hit(unsigned i, double seconds) const {
        const double expected = writes(i, seconds);
        return model_.classes[i].regular ? std::min(1.0, expected) : -std::expm1(-expected);
    }

    void spend(double pages) {
        run_.bytes += pages * kSentPage;
        time_ += pages * page_seconds_;
    }

    // In the order of addresses, which mixes the classes, until little enough is left; then the dirty log.
    void stock_round() {
        const double all = total(), piece = kPiece / page_seconds_;
        const double sent = std::min(all, all - limit_ + std::max(1.0, terms_.past * piece));
        for (unsigned i = 0; i < dirty_.size(); ++i) {
            const double unsent = dirty_[i] * (1 - sent / all);
            // The dirty log was emptied when the round began: what is written before it's sent counts too.
            const WriteClass &c = model_.classes[i];
            double fresh = (c.pages - unsent) * hit(i, sent * page_seconds_);
            if (c.regular)
                fresh = std::min(c.pages - unsent, fresh * (c.pages - (1 - terms_.apart) * unsent) /
                                                       (c.pages - unsent + 1e-9));
            dirty_[i] = unsent + fresh;
        }
        spend(sent);
    }

    // Those first that stay clean for longest. A step is so short that few of what it sends is written in it.
    void planned_round() {
        double step = kLook;
        for (const unsigned i : order_)
            if (dirty_[i] >= 1) {
                const double most = rate(i) > 0 ? 0.25 / rate(i) : dirty_[i] * page_seconds_;
                step = std::max(step, std::min(most, dirty_[i] * page_seconds_));
                break;
            }
        // The plan aims at a bit less than may be left.
        const double too_many = std::max(kGap / page_seconds_, total() - kAim * limit_);
        const double most = std::min({step / page_seconds_, total(), too_many});
        send(most, std::max(kGap, std::min(step, most * page_seconds_)));
    }

    // It could stop the guest; but what stays clean until all is sent goes before.
    void last_round() {
        const double soon = total() * page_seconds_ + kSlack;
        double most = 0;
        for (const unsigned i : order_)
            if (rate(i) * soon <= 1)
                most += dirty_[i];
        send(most, most * page_seconds_);
    }

    // So many pages, those first that are written least, in so many seconds.
    void send(double most, double step) {
        double left = most;
        for (const unsigned i : order_) {
            const double taken = std::min(left, dirty_[i]);
            left -= taken;
            const WriteClass &c = model_.classes[i];
            const double unsent = dirty_[i] - taken;
            if (c.regular) // what was just written is sent first: the next writes find the others, still dirty
                dirty_[i] = std::min(c.pages, std::max(unsent, c.pages * writes(i, step)));
            else
                dirty_[i] = unsent + (c.pages - unsent) * hit(i, step);
        }
        run_.bytes += most * kSentPage;
        time_ += std::max(step, most * page_seconds_);
    }

    // Nothing changes any more, and nothing will: no class falls quiet.
    bool stuck() {
        const double now = total();
        const bool same = std::abs(now - before_) < 1e-3 * now;
        before_ = now;
        same_ = same ? same_ + 1 : 0;
        return steady_ && same_ >= 4;
    }

    void finish() {
        const double left = total();
        spend(left);
        run_.downtime = left * page_seconds_ + terms_.overhead;
        run_.seconds = time_ + terms_.overhead;
    }

    const WriteModel &model_;
    const RunTerms &terms_;
    const double page_seconds_, limit_; // seconds a page takes; pages that fit into the downtime
    std::vector<double> dirty_;         // by class
    std::vector<unsigned> order_;       // classes, those first that are written least
    bool steady_ = true;
    double before_ = -1;
    unsigned same_ = 0;
    double time_ = 0;
    Run run_;
};

} // namespace

Run run_precopy(const WriteModel &model, const RunTerms &terms) {
    return Precopy(model, terms).run();
}

} // namespace tidemark
