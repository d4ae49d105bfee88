// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/tournament.h"

#include "base/check.h"

#include <algorithm>
#include <cmath>

namespace tidemark {

namespace {

constexpr double kFewest = 64;         // pages judged before anything is earned
constexpr double kSaved = 1;           // second of bandwidth that may be saved up
constexpr double kFades = 120;         // seconds, of what the engine saw
constexpr double kCreditAgain = 10;    // seconds
constexpr double kMostTrial = 64;      // pages that a trial may save up
constexpr double kClaimMemory = 65536; // pages over which claims are averaged

std::uint64_t since(std::uint64_t now, std::uint64_t before) {
    return now > before ? now - before : 0;
}

} // namespace

Tournament::Tournament(std::uint32_t pages, double budget)
    : pages_(pages), budget_(0), out_(pages), ordered_(pages) {
    set_budget(budget);
}

void Tournament::add(Predictor &predictor) {
    for (const auto &other : entrants_)
        if (other->predictor->origin() == predictor.origin()) {
            other->predictor = &predictor;
            other->waiting.clear();
            return;
        }
    entrants_.push_back(std::make_unique<Entrant>(predictor, pages_));
}

void Tournament::enable(Origin origin, bool on) {
    for (const auto &one : entrants_)
        if (one->predictor->origin() == origin && one->enabled != on) {
            one->enabled = on;
            one->waiting.clear();
            one->shadow.clear();
        }
}

void Tournament::set_budget(double pages_per_second) {
    budget_ = pages_per_second > 0 && std::isfinite(pages_per_second) ? pages_per_second : 0;
}

void Tournament::lost() {
    out_.assign(pages_, true);
    ordered_.assign(pages_, false);
    for (const auto &one : entrants_)
        one->shadow.clear();
}

// Where pages are, and what that says about those that were named.
void Tournament::note(const Window &window) {
    waited_ = 0;
    for (const Access &access : window.accesses) {
        const std::uint64_t end =
            std::min<std::uint64_t>(std::uint64_t{access.first.value} + access.count, pages_);
        const bool gone = is_leaving(access.kind);
        const bool waited = access.kind == AccessKind::stored;
        const double when =
            std::clamp(access.ms * 1e-3, window.begin, window.begin + window.seconds);
        for (std::uint64_t at = access.first.value; at < end; ++at) {
            const PageIndex page{static_cast<std::uint32_t>(at)};
            out_[page.value] = gone;
            ordered_[page.value] = false;
            waited_ += waited;
            for (const auto &one : entrants_)
                if (waited)
                    one->shadow.needed(page, when);
                else if (!gone)
                    one->shadow.close(page);
        }
    }
}

void Tournament::judge(Entrant &one, const Outcome &now, const Window &window) {
    one.shadow.sweep(window.begin + window.seconds);
    const Shadow::Tally shadow = one.shadow.take();
    const Outcome fresh{since(now.used, one.seen.used), since(now.late, one.seen.late),
                        since(now.wasted, one.seen.wasted)};
    one.seen = now;
    one.totals.used += shadow.used + fresh.used;
    one.totals.late += shadow.late + fresh.late;
    one.totals.wasted += shadow.wasted + fresh.wasted;
    one.shadows.add(static_cast<double>(shadow.used),
                    static_cast<double>(shadow.late + shadow.wasted));
    one.brought.fade(std::exp(-window.seconds / kFades));
    one.brought.add(static_cast<double>(fresh.used),
                    static_cast<double>(fresh.late + fresh.wasted));
    one.credit = std::min(kCredit, one.credit + kCredit / kCreditAgain * window.seconds);
    const bool known = proven(one) || one.shadows.pages() >= kFewest;
    one.earning = known && surely(one) >= (one.earning ? kKeeps : kEarns);
}

// Enough was seen of what was brought in to tell good from bad. In between nothing is: a set that was ordered as its
// stay ended would otherwise stand against thousands of shadows for minutes, as a trial's few pages cannot mend it.
bool Tournament::proven(const Entrant &one) {
    return one.brought.pages() >= kFewest &&
           (one.brought.surely(0) >= kEarns || one.brought.at_most() < kEarns);
}

// Who has not earned anything yet is not believed before it has come true: those that come true do so first. Of one
// that earns, the open pages are only waiting to be ordered.
double Tournament::surely(const Entrant &one) {
    if (proven(one))
        return one.brought.surely(0);
    return one.shadows.surely(one.earning ? 0 : static_cast<double>(one.shadow.open_pages()));
}

// What it names joins what waits. The same page named twice is found out when it is to be ordered.
void Tournament::hear(Entrant &one, double now) {
    heard_.clear();
    one.predictor->expect(heard_);
    double ahead = 0; // pages named before it, that would be read first
    for (Expectation named : heard_) {
        const std::uint32_t first = named.run.first.value;
        if (first >= pages_ || named.run.count == 0 || !(named.until > now) ||
            !(named.confidence > 0))
            continue;
        named.run.count = std::min(named.run.count, pages_ - first);
        named.confidence = std::min(named.confidence, 1.0f);
        for (std::uint32_t at = first; at < first + named.run.count; ++at) {
            if (!wanted(at))
                continue;
            ++ahead;
            if (budget_ > 0)
                one.shadow.open(PageIndex{at}, now + ahead / budget_, named.until);
        }
        one.totals.named += named.run.count;
        one.claimed += static_cast<double>(named.confidence) * named.run.count;
        one.claims += named.run.count;
        if (one.waiting.size() < kMostWaiting)
            one.waiting.push_back(named);
    }
    if (one.claims > kClaimMemory) {
        one.claimed *= kClaimMemory / one.claims;
        one.claims = kClaimMemory;
    }
}

// Experience corrects what a predictor claims, the more there is of it.
float Tournament::calibrated(const Entrant &one, float claimed) const {
    const double mean = one.claimed / one.claims;
    const Score &score = proven(one) ? one.brought : one.shadows;
    const double right = (score.used() + kFewest * mean) / (score.pages() + kFewest);
    return static_cast<float>(std::min(1.0, static_cast<double>(claimed) * right / mean));
}

// Orders what it waits for, front to back, while there are pages in the purse.
void Tournament::give(Entrant &one, double &pages, std::vector<Order> &out) {
    while (!one.waiting.empty() && pages >= 1) {
        Expectation &next = one.waiting.front();
        Order order{{next.run.first, 0},
                    one.predictor->origin(),
                    calibrated(one, next.confidence),
                    next.until};
        while (next.run.count > 0 && !wanted(next.run.first.value))
            next.run = {next.run.first.next(), next.run.count - 1};
        order.run.first = next.run.first;
        while (next.run.count > 0 && pages >= 1 && wanted(next.run.first.value)) {
            ordered_[next.run.first.value] = true;
            for (const auto &other : entrants_)
                other->shadow.close(next.run.first);
            next.run = {next.run.first.next(), next.run.count - 1};
            ++order.run.count;
            --pages;
        }
        if (next.run.count == 0)
            one.waiting.pop_front();
        if (order.run.count > 0) {
            one.totals.ordered += order.run.count;
            out.push_back(order);
        }
    }
}

std::vector<Order> Tournament::step(const Window &window, const Outcomes &outcomes) {
    const double now = window.begin + window.seconds;
    note(window);
    std::vector<Entrant *> earning, trying;
    for (const auto &each : entrants_) {
        Entrant &one = *each;
        judge(one, outcomes[index_of(one.predictor->origin())], window);
        if (!one.enabled)
            continue;
        one.predictor->observe(window);
        hear(one, now);
        std::erase_if(one.waiting, [now](const Expectation &old) { return old.until <= now; });
        (one.earning ? earning : trying).push_back(&one);
    }
    const double income = budget_ * window.seconds;
    purse_ = std::min(purse_ + income, std::max(budget_ * kSaved, income));
    trial_ = std::min({trial_ + static_cast<double>(waited_) * kTrial, kMostTrial, purse_});
    trial_ = std::min(trial_, std::max(1.0, income * kTrial) * (income > 0));
    std::stable_sort(earning.begin(), earning.end(),
                     [](const Entrant *a, const Entrant *b) { return surely(*a) > surely(*b); });
    std::vector<Order> orders;
    for (Entrant *one : earning) {
        double pages = proven(*one) ? purse_ : std::min(purse_, one->credit);
        const double before = pages;
        give(*one, pages, orders);
        purse_ -= before - pages;
        one->credit = std::max(0.0, one->credit - (before - pages));
    }
    for (std::size_t i = 0; i < trying.size(); ++i) {
        const double before = trial_;
        give(*trying[(turn_ + i) % trying.size()], trial_, orders);
        purse_ -= before - trial_;
    }
    ++turn_;
    return orders;
}

std::vector<Standing> Tournament::standings() const {
    std::vector<Standing> all;
    for (const auto &one : entrants_) {
        Standing standing = one->totals;
        standing.name = one->predictor->name();
        standing.origin = one->predictor->origin();
        standing.enabled = one->enabled;
        standing.earning = one->enabled && one->earning;
        standing.surely = surely(*one);
        all.push_back(standing);
    }
    return all;
}

std::size_t Tournament::bytes() const {
    std::size_t sum = sizeof(*this) + (out_.capacity() + ordered_.capacity()) / 8 +
                      heard_.capacity() * sizeof(heard_[0]);
    for (const auto &one : entrants_)
        sum += sizeof(*one) + one->shadow.bytes() + one->waiting.size() * sizeof(Expectation) +
               one->predictor->bytes();
    return sum;
}

} // namespace tidemark
