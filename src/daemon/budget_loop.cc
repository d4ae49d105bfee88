// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/budget_loop.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

namespace tidemark::daemon {
namespace {

constexpr double kRateHalfLife = 10;                // seconds
constexpr std::uint64_t kLeastOfBackend = 16 << 20; // QEMU takes no lower limit
constexpr std::uint64_t kIdleBelow = 100;           // one part of its DRAM in so many
constexpr std::chrono::milliseconds kLook{1000};

// "some avg10=0.12 ...": percent.
double pressure(const std::string &file) {
    std::ifstream in(file);
    std::string some, avg10;
    if (!(in >> some >> avg10) || avg10.rfind("avg10=", 0) != 0) {
        return 0;
    }
    return std::strtod(avg10.c_str() + 6, nullptr) / 100;
}

} // namespace

// Backends share a guest's DRAM by their sizes, so the same part of each is more, or cold.
UseOfDram use_of_dram(const Guest &guest, double refaults) {
    UseOfDram use;
    use.memory = guest.memory;
    use.used = guest.dram_used();
    use.limit = guest.dram_limit();
    // Of a guest that stands still the profile tells only as time goes by that nothing is used.
    use.refaults_per_second = guest.paused ? 0 : refaults;
    use.idle = !guest.profile.empty();
    double weights = 0;
    for (const BackendProfile &one : guest.profile) {
        use.watched = use.watched || one.watching;
        // Rates decay over a minute; what was used in the last ten seconds is known at once. The most that it can have
        // been: of a busy guest whose memory is all in DRAM next to nothing is seen.
        use.idle = use.idle && one.watching && !one.working_set.empty() &&
                   one.working_set[0].estimate + one.working_set[0].untested <
                       guest.dram_used() / kIdleBelow;
        const double weight = one.refaults_per_second + 1e-6;
        weights += weight;
        use.more.resize(std::max(use.more.size(), one.more_dram.size()));
        for (std::size_t i = 0; i < one.more_dram.size(); ++i) {
            use.more[i].bytes += one.more_dram[i].bytes;
            use.more[i].share += one.more_dram[i].saved_refaults * weight;
        }
        use.cold.resize(std::max(use.cold.size(), one.cold.size()));
        for (std::size_t i = 0; i < one.cold.size(); ++i) {
            use.cold[i].seconds = one.cold[i].age_s;
            use.cold[i].bytes += one.cold[i].bytes;
            use.cold[i].tested += one.cold[i].tested;
        }
    }
    use.idle = use.idle || guest.paused;
    for (UseOfDram::More &more : use.more) {
        more.share /= std::max(weights, 1e-9);
    }
    std::sort(use.more.begin(), use.more.end(),
              [](const auto &a, const auto &b) { return a.bytes < b.bytes; });
    std::sort(use.cold.begin(), use.cold.end(),
              [](const auto &a, const auto &b) { return a.seconds < b.seconds; });
    return use;
}

class BudgetLoop::Impl : public std::enable_shared_from_this<Impl> {
  public:
    Impl(boost::asio::io_context &io, Guests &guests, BudgetOptions options)
        : guests_(guests), options_(std::move(options)), timer_(io) {
        state_.bytes = options_.bytes;
    }

    void look();
    void make_room();
    void count(const Guest &guest);
    std::uint64_t most_of(const Guest &guest) const;

    struct Rate {
        std::uint64_t refaults = 0;
        std::int64_t unix_ms = 0;
        double per_second = 0;
    };
    Guests &guests_;
    BudgetOptions options_;
    boost::asio::steady_timer timer_;
    Arbiter arbiter_;
    BudgetState state_;
    std::map<std::string, Rate> rates_;
    std::chrono::steady_clock::time_point last_round_{};
    bool again_ = false; // a round is due whatever the period

  private:
    std::optional<GuestDemand> demand_of(const Guest &guest) const;
    std::vector<GuestDemand> demands();
    void round(std::vector<GuestDemand> demands, bool pressed);
};

std::uint64_t BudgetLoop::Impl::most_of(const Guest &guest) const {
    std::uint64_t most = guest.settings.dram_limit;
    if (!guest.from_operator.dram_limit && options_.asked_for) {
        const auto asked = options_.asked_for(guest.uuid);
        most = asked ? guest.in_proportion(*asked) : most;
    }
    return most == 0 ? guest.memory : std::min(most, guest.memory);
}

std::optional<GuestDemand> BudgetLoop::Impl::demand_of(const Guest &guest) const {
    if (guest.memory == 0 || (guest.connected && guest.stats_unix_ms != 0 && guest.stats.empty())) {
        return std::nullopt; // nothing of it is tiered
    }
    GuestDemand demand;
    demand.id = guest.uuid;
    demand.memory = guest.memory;
    demand.most = most_of(guest);
    demand.used = guest.dram_used();
    demand.limit = guest.granted;
    if (demand.limit == 0) {
        demand.limit = guest.stats.empty() ? guest.settings.dram_limit : guest.dram_limit();
    }
    if (demand.limit == 0) {
        demand.limit = guest.memory;
    }
    demand.floor = std::max(guest.settings.dram_floor,
                            kLeastOfBackend * std::max<std::uint64_t>(guest.stats.size(), 1));
    demand.priority = guest.settings.priority;
    const auto rate = rates_.find(guest.uuid);
    demand.known = guest.connected && !guest.profile.empty() && rate != rates_.end();
    if (demand.known) {
        UseOfDram use = use_of_dram(guest, rate->second.per_second);
        use.limit = demand.limit;
        demand.idle = use.idle;
        demand.gains = gains_of(use);
        demand.losses = losses_of(use);
        for (const BackendProfile &one : guest.profile) {
            demand.lost = std::max(demand.lost, one.reclaim_slowdown);
        }
    }
    return demand;
}

void BudgetLoop::Impl::count(const Guest &guest) {
    std::uint64_t refaults = 0;
    for (const BackendStats &one : guest.stats) {
        refaults += one.counters.refaults;
    }
    Rate &rate = rates_[guest.uuid];
    if (rate.unix_ms != 0 && guest.stats_unix_ms > rate.unix_ms && refaults >= rate.refaults) {
        const double seconds = static_cast<double>(guest.stats_unix_ms - rate.unix_ms) / 1000;
        const double keep = std::exp2(-seconds / kRateHalfLife);
        rate.per_second = rate.per_second * keep +
                          static_cast<double>(refaults - rate.refaults) / seconds * (1 - keep);
    }
    rate.refaults = refaults;
    rate.unix_ms = guest.stats_unix_ms;
}

std::vector<GuestDemand> BudgetLoop::Impl::demands() {
    std::vector<GuestDemand> all;
    for (const Guest *guest : guests_.all()) {
        if (auto demand = demand_of(*guest)) {
            all.push_back(std::move(*demand));
        }
    }
    // What a guest was told that it starts with is kept for it until it is there.
    for (const PreparedGuest &one :
         options_.prepared ? options_.prepared() : std::vector<PreparedGuest>{}) {
        if (guests_.find(one.uuid) == nullptr) {
            GuestDemand demand;
            demand.id = one.uuid;
            demand.limit = demand.floor = demand.most = one.limit;
            demand.memory = one.memory;
            all.push_back(std::move(demand));
        }
    }
    return all;
}

void BudgetLoop::Impl::round(std::vector<GuestDemand> demands, bool pressed) {
    state_.limits = state_.floors = 0;
    for (const GuestDemand &demand : demands) {
        state_.floors += demand.floor;
    }
    const auto grants = arbiter_.round({state_.bytes, pressed}, demands);
    ++state_.rounds;
    for (std::size_t i = 0; i < grants.size(); ++i) {
        const std::uint64_t was = demands[i].limit, now = grants[i].limit;
        state_.limits += now;
        if (now == was) {
            continue;
        }
        (now > was ? state_.raised : state_.lowered) += 1;
        state_.moved_bytes += now > was ? now - was : was - now;
        spdlog::debug("guest {}: {} MiB of DRAM instead of {}", grants[i].id, now >> 20, was >> 20);
        guests_.grant(grants[i].id, now);
    }
}

// Only what the law demands: as if the host were short of memory, nobody is raised and nothing is traded.
void BudgetLoop::Impl::make_room() {
    std::vector<GuestDemand> all = demands();
    std::uint64_t sum = 0;
    for (const GuestDemand &demand : all) {
        sum += demand.limit;
    }
    if (sum > state_.bytes) {
        round(std::move(all), true);
    }
}

// Once a second: is a round due, or has somebody said something that the last one did not know?
void BudgetLoop::Impl::look() {
    const auto now = std::chrono::steady_clock::now();
    for (const Guest *guest : guests_.all()) {
        again_ = again_ || (guest->granted != 0 && (guest->granted > most_of(*guest) ||
                                                    guest->granted < guest->settings.dram_floor));
    }
    if (again_ || now - last_round_ >= options_.period) {
        again_ = false;
        last_round_ = now;
        state_.pressed = pressure(options_.pressure_file) > options_.pressed_above;
        round(demands(), state_.pressed);
    }
    timer_.expires_after(std::min(kLook, options_.period));
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code cancelled) {
        if (const auto self = weak.lock(); self && !cancelled) {
            self->look();
        }
    });
}

BudgetLoop::BudgetLoop(boost::asio::io_context &io, Guests &guests, BudgetOptions options)
    : impl_(std::make_shared<Impl>(io, guests, std::move(options))) {
    guests.observe(*this);
    impl_->look();
}

// Cancelling a timer throws in theory only, and then there is nothing to go on with.
BudgetLoop::~BudgetLoop() { // NOLINT(bugprone-exception-escape)
    stop();
}

void BudgetLoop::stop() {
    impl_->timer_.cancel();
}

void BudgetLoop::set_budget(std::uint64_t bytes) {
    impl_->state_.bytes = bytes;
    impl_->again_ = true;
}

void BudgetLoop::make_room() {
    impl_->make_room();
}

const BudgetState &BudgetLoop::state() const {
    return impl_->state_;
}

void BudgetLoop::guest_connected(const Guest &) {
    impl_->again_ = true;
}

// A guest that is being started counts from then on.
void BudgetLoop::guest_domain_changed(const Guest &) {
    impl_->again_ = true;
}

void BudgetLoop::guest_stats(const Guest &guest) {
    impl_->count(guest);
}

void BudgetLoop::guest_removed(const Guest &guest) {
    impl_->rates_.erase(guest.uuid);
    impl_->again_ = true;
}

} // namespace tidemark::daemon
