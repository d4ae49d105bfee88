// SPDX-License-Identifier: GPL-2.0-or-later
//
// A precopy over a link that carries so much and no more, as QEMU runs one: iterations of at most 50 ms, the link
// measured every 100 ms, a switch-over when what is left takes no longer than the downtime limit. In stock order,
// by the plan, or by an oracle that knows every write to come.
#pragma once

#include "migrate/precopy.h"
#include "precopy_guest.h"

#include <bit>
#include <optional>

namespace tidemark::sim {

enum class Order { stock, plan, observe, oracle };

struct Settings {
    Order order = Order::stock;
    double bytes_per_second = 32 << 20;
    Nanos limit = kSecond * 3 / 10;
    double used = 1;            // share of it that the migration spends on RAM,
    bool tells = true;          // and whether it says so to the plan
    Nanos learn = 20 * kSecond; // before the precopy
    Nanos phase = 0;            // more of it
    Nanos give_up = 20 * kSecond;
};

struct Outcome {
    bool finished = false, identical = false;
    std::uint64_t sent = 0, resent = 0, skipped = 0, syncs = 0;
    double seconds = 0, downtime = 0;
    PrecopyCounts counts;
    double bytes() const { return static_cast<double>(sent) * (4096 + 8); }
};

class Machine {
  public:
    Machine(const Workload &workload, const Settings &settings)
        : settings_(settings), guest_(workload), writes_(0), waiting_((guest_.pages() + 63) / 64),
          there_(guest_.pages()), was_sent_(guest_.pages()) {
        writes_.add_block(0, guest_.pages());
        page_time_ = static_cast<Nanos>(4104e9 / settings.bytes_per_second);
    }

    void learn() {
        const Nanos end = settings_.learn + settings_.phase;
        Nanos wait = look();
        while (settings_.learn != 0 && guest_.now() + wait < end) {
            guest_.run(wait);
            wait = look();
        }
        guest_.run(end - guest_.now());
    }
    Outcome migrate();
    Writes &writes() { return writes_; }
    Guest &guest() { return guest_; }

  private:
    Nanos look();
    void sync();
    double may_stay() const;
    void tell_room();
    std::uint64_t left() const;
    std::uint64_t due();
    void send(std::uint64_t page);
    void put(std::uint64_t page);
    void pass(Nanos time);
    void iterate_in_order();
    void iterate_by_plan();
    void iterate_by_oracle();
    bool switch_over(bool by_plan);
    void last_stage();

    Settings settings_;
    Guest guest_;
    Writes writes_;
    std::optional<Precopy> plan_;
    std::vector<unsigned long> waiting_;
    std::vector<std::uint64_t> there_; // what the destination has
    std::vector<bool> was_sent_;
    std::uint64_t cursor_ = 0;
    Nanos page_time_ = 0, spent_ = 0; // spent_: of the iteration that is on
    Nanos window_ = 0;
    std::uint64_t window_pages_ = 0;
    double pages_per_second_ = 0; // as measured
    bool stopped_ = false;
    Outcome outcome_;
};

// The guest's pages are hashed where a look asks for it.
inline Nanos Machine::look() {
    writes_.begin(guest_.now());
    const auto log = guest_.take_log();
    writes_.dirty(0, 0, log);
    if (plan_)
        plan_->written(0, 0, log);
    for (std::size_t i = 0; i < log.size(); ++i)
        waiting_[i] |= log[i];
    const Nanos wait = writes_.end(guest_.now() + kSecond / 10000);
    std::array<PageName, 256> names;
    const std::size_t count = writes_.sample(names);
    for (const PageName &name : std::span(names).first(count))
        writes_.hashed(name, {guest_.content(name.page), 1});
    return wait;
}

inline void Machine::sync() {
    look();
    ++outcome_.syncs;
    tell_room();
    if (plan_)
        plan_->synced(guest_.now(), static_cast<std::uint64_t>(pages_per_second_ * 4096), left());
}

inline double Machine::may_stay() const {
    return pages_per_second_ * static_cast<double>(settings_.limit) * 1e-9 * settings_.used;
}

inline void Machine::tell_room() {
    if (plan_ && settings_.tells)
        plan_->set_room(static_cast<std::uint64_t>(may_stay() * 4096));
}

inline std::uint64_t Machine::left() const {
    std::uint64_t sum = 0;
    for (const unsigned long word : waiting_)
        sum += static_cast<unsigned>(std::popcount(word));
    return sum;
}

inline std::uint64_t Machine::due() {
    return plan_ ? plan_->due({0, waiting_.data(), guest_.pages()}) : left();
}

inline void Machine::pass(Nanos time) {
    if (stopped_)
        guest_.pause(time);
    else
        guest_.run(time);
    spent_ += time;
    window_ += time;
    if (window_ >= kSecond / 10) {
        // As the migration should: what is measured while nothing is sent says nothing of the link.
        const double rate = static_cast<double>(window_pages_) * 1e9 / static_cast<double>(window_);
        if (settings_.order != Order::plan || rate >= 0.5 * pages_per_second_)
            pages_per_second_ = rate;
        window_ = 0;
        window_pages_ = 0;
    }
}

// The bytes are read before the link takes them.
inline void Machine::put(std::uint64_t page) {
    there_[page] = guest_.content(page);
    ++outcome_.sent;
    outcome_.resent += was_sent_[page];
    was_sent_[page] = true;
    ++window_pages_;
    pass(page_time_);
}

inline void Machine::send(std::uint64_t page) {
    waiting_[page / 64] &= ~(1ul << page % 64);
    const PageName name{0, page};
    if (plan_ && plan_->wants_copy(name)) {
        const PageHash hash{guest_.content(page), 1};
        pass(1500);
        if (plan_->unchanged(name, hash)) {
            ++outcome_.skipped;
            return;
        }
        plan_->sent_copy(name, hash, guest_.now());
    } else if (plan_) {
        plan_->sent(name, guest_.now());
    }
    put(page);
}

inline void Machine::iterate_in_order() {
    const std::uint64_t pages = guest_.pages();
    for (std::uint64_t seen = 0; seen < pages && spent_ < kSecond / 20; ++seen) {
        const std::uint64_t page = cursor_;
        cursor_ = (cursor_ + 1) % pages;
        if (waiting_[page / 64] >> page % 64 & 1) {
            send(page);
            seen = 0;
        }
    }
    if (spent_ == 0)
        pass(kSecond / 1000);
}

inline void Machine::iterate_by_plan() {
    const Waiting waiting{0, waiting_.data(), guest_.pages()};
    while (spent_ < kSecond / 20) {
        std::uint64_t page = plan_->next(waiting, cursor_);
        if (page == waiting.pages)
            page = plan_->next(waiting, 0);
        if (page != waiting.pages) {
            cursor_ = page + 1 == waiting.pages ? 0 : page + 1;
            send(page);
            continue;
        }
        tell_room();
        const PrecopyStep step = plan_->advance(guest_.now());
        if (step == PrecopyStep::more)
            continue;
        if (step == PrecopyStep::wait)
            pass(std::min<Nanos>(std::max<Nanos>(plan_->sync_in(guest_.now()), kSecond / 1000),
                                 kSecond / 100));
        return;
    }
}

// Knows what will be written when, and what has been written already. It looks again every 10 ms.
inline void Machine::iterate_by_oracle() {
    std::vector<std::pair<Nanos, std::uint32_t>> order;
    for (std::uint32_t page = 0; page < guest_.pages(); ++page)
        if (waiting_[page / 64] >> page % 64 & 1)
            order.emplace_back(guest_.next_write(page), page);
    std::sort(order.rbegin(), order.rend());
    for (const auto &[next, page] : order) {
        const double too_many =
            std::max(0.0, static_cast<double>(left()) -
                              pages_per_second_ * static_cast<double>(settings_.limit) * 1e-9);
        if (pages_per_second_ > 0 &&
            next < guest_.now() + static_cast<Nanos>(too_many / pages_per_second_ * 1e9))
            break;
        send(page);
        if (spent_ >= kSecond / 100)
            return;
    }
    if (spent_ == 0)
        pass(kSecond / 1000);
}

inline bool Machine::switch_over(bool by_plan) {
    const double room = may_stay();
    const bool asked = by_plan && plan_->sync_in(guest_.now()) == 0;
    const auto few = [&] { return static_cast<double>(due()) < room || left() == 0; };
    if (settings_.order == Order::oracle || asked || few())
        sync();
    else
        return false;
    return few();
}

inline void Machine::last_stage() {
    const Nanos from = guest_.now();
    stopped_ = true;
    sync();
    for (std::uint64_t page = 0; page < guest_.pages(); ++page)
        if (waiting_[page / 64] >> page % 64 & 1)
            send(page);
    outcome_.downtime = static_cast<double>(guest_.now() - from) * 1e-9;
}

inline Outcome Machine::migrate() {
    const Nanos from = guest_.now();
    if (settings_.order == Order::plan || settings_.order == Order::observe)
        plan_.emplace(writes_, PrecopyTerms{settings_.order == Order::observe, settings_.limit, 0},
                      from);
    std::fill(waiting_.begin(), waiting_.end(), ~0ul);
    sync();
    while (guest_.now() < from + settings_.give_up) {
        spent_ = 0;
        if (switch_over(settings_.order == Order::plan)) {
            last_stage();
            outcome_.finished = true;
            break;
        }
        if (settings_.order == Order::plan)
            iterate_by_plan();
        else if (settings_.order == Order::oracle)
            iterate_by_oracle();
        else
            iterate_in_order();
    }
    outcome_.seconds = static_cast<double>(guest_.now() - from) * 1e-9;
    if (plan_)
        outcome_.counts = plan_->counts();
    outcome_.identical = true;
    for (std::uint32_t page = 0; page < guest_.pages(); ++page)
        outcome_.identical &= there_[page] == guest_.content(page);
    return outcome_;
}

} // namespace tidemark::sim
