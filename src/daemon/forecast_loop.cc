// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/forecast_loop.h"

#include "daemon/json_body.h"
#include "daemon/store.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <set>
#include <utility>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

std::int64_t unix_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

} // namespace

class ForecastLoop::Impl : public std::enable_shared_from_this<Impl> {
  public:
    Impl(boost::asio::io_context &io, Guests &guests, Store &store, ForecastOptions options)
        : guests_(guests), store_(store), options_(options), timer_(io) {}

    void read_kept();
    void look();
    void ask(const std::string &uuid);
    void calibrate(const std::string &uuid);

    Guests &guests_;
    Store &store_;
    const ForecastOptions options_;
    boost::asio::steady_timer timer_;
    ForecastState state_;
    std::map<std::string, MigrationForecast> forecasts_;
    std::set<std::string> able_, asked_; // know forecasts; have not answered yet
    std::set<std::string> again_;        // to be asked once more when they have

  private:
    void take(const std::string &uuid, const Result<json> &answer);
    void keep(const std::string &uuid, const MigrationForecast &forecast);

    struct Kept {
        ForecastOutcome outcome;
        std::string text;
    };
    std::deque<Kept> kept_; // oldest first, at most kForecastErrorsMost
    void add(ForecastOutcome outcome, std::string text);
};

void ForecastLoop::Impl::add(ForecastOutcome outcome, std::string text) {
    kept_.push_back({outcome, std::move(text)});
    if (kept_.size() > kForecastErrorsMost)
        kept_.pop_front();
    std::vector<ForecastOutcome> all;
    for (const Kept &one : kept_)
        all.push_back(one.outcome);
    state_.score = score_of(all);
}

void ForecastLoop::Impl::read_kept() {
    const auto errors = store_.forecast_errors();
    if (!errors) {
        spdlog::warn("the errors of earlier forecasts are not known: {}", errors.error().sentence);
        return;
    }
    for (const ForecastError &error : *errors) {
        const auto text = parse_json(error.error);
        if (const auto outcome = text ? parse_outcome(*text) : tl::unexpected(text.error()))
            add(*outcome, error.error);
    }
}

// QEMU wants them the oldest first.
void ForecastLoop::Impl::calibrate(const std::string &uuid) {
    json errors = json::array();
    for (const Kept &one : kept_)
        errors.push_back(json::parse(one.text));
    guests_.execute(uuid, "migrate-forecast-calibrate", {{"errors", std::move(errors)}},
                    [weak = weak_from_this(), uuid](const Result<json> &answer) {
                        const auto self = weak.lock();
                        if (!self)
                            return;
                        if (answer) {
                            self->able_.insert(uuid);
                            self->ask(uuid);
                        } else {
                            spdlog::debug("guest {}: no forecasts: {}", uuid,
                                          answer.error().sentence);
                        }
                    });
}

void ForecastLoop::Impl::ask(const std::string &uuid) {
    if (!able_.contains(uuid))
        return;
    if (!asked_.insert(uuid).second) {
        again_.insert(uuid);
        return;
    }
    guests_.execute(uuid, "query-migrate-forecast", json::object(),
                    [weak = weak_from_this(), uuid](const Result<json> &answer) {
                        if (const auto self = weak.lock())
                            self->take(uuid, answer);
                    });
}

void ForecastLoop::Impl::take(const std::string &uuid, const Result<json> &answer) {
    asked_.erase(uuid);
    if (again_.erase(uuid) != 0)
        ask(uuid);
    const auto forecast = answer ? parse_forecast(*answer) : tl::unexpected(answer.error());
    if (!forecast) {
        spdlog::debug("guest {}: no forecast: {}", uuid, forecast.error().sentence);
        return;
    }
    if (guests_.find(uuid) == nullptr)
        return;
    forecasts_[uuid] = *forecast;
    if (forecast->outcome)
        keep(uuid, *forecast);
}

// A QEMU tells its last outcome as long as it lives, to the next daemon, too.
void ForecastLoop::Impl::keep(const std::string &uuid, const MigrationForecast &forecast) {
    const bool known = std::any_of(kept_.begin(), kept_.end(), [&](const Kept &one) {
        return one.text == forecast.outcome_json;
    });
    if (known)
        return;
    const ForecastOutcome &outcome = *forecast.outcome;
    spdlog::info("guest {}: migrated in {} ms (forecast {} to {}), {} MiB (forecast {} to {}), "
                 "downtime {} us (forecast {} to {})",
                 uuid, outcome.actual_total_ms, outcome.total_ms.p50, outcome.total_ms.p90,
                 outcome.actual_bytes >> 20, outcome.bytes.p50 >> 20, outcome.bytes.p90 >> 20,
                 outcome.actual_downtime_us, outcome.downtime_us.p50, outcome.downtime_us.p90);
    if (const auto added = store_.add(ForecastError{uuid, unix_ms(), forecast.outcome_json});
        !added)
        spdlog::warn("how right a forecast was is not kept: {}", added.error().sentence);
    add(outcome, forecast.outcome_json);
    ++state_.outcomes;
    // The one that migrated knows it; the others learn from it.
    for (const std::string &other : std::set<std::string>(able_))
        if (other != uuid)
            calibrate(other);
}

void ForecastLoop::Impl::look() {
    for (const std::string &uuid : std::set<std::string>(able_))
        ask(uuid);
    timer_.expires_after(options_.period);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code cancelled) {
        if (const auto self = weak.lock(); self && !cancelled)
            self->look();
    });
}

ForecastLoop::ForecastLoop(boost::asio::io_context &io, Guests &guests, Store &store,
                           ForecastOptions options)
    : impl_(std::make_shared<Impl>(io, guests, store, options)) {
    impl_->read_kept();
    guests.observe(*this);
    impl_->look();
}

// Cancelling a timer throws in theory only, and then there is nothing to go on with.
ForecastLoop::~ForecastLoop() { // NOLINT(bugprone-exception-escape)
    stop();
}

void ForecastLoop::stop() {
    impl_->timer_.cancel();
}

const ForecastState &ForecastLoop::state() const {
    return impl_->state_;
}

const std::map<std::string, MigrationForecast> &ForecastLoop::forecasts() const {
    return impl_->forecasts_;
}

void ForecastLoop::guest_connected(const Guest &guest) {
    impl_->asked_.erase(guest.uuid);
    impl_->again_.erase(guest.uuid);
    impl_->able_.erase(guest.uuid);
    impl_->calibrate(guest.uuid);
}

void ForecastLoop::guest_disconnected(const Guest &guest) {
    impl_->able_.erase(guest.uuid);
    impl_->forecasts_.erase(guest.uuid);
}

// libvirt ends the source's QEMU soon after its migration has completed: it is asked at once.
void ForecastLoop::guest_event(const Guest &guest, const GuestEvent &event) {
    if (event.name == "MIGRATION" || event.name == "MIGRATE_FORECAST")
        impl_->ask(guest.uuid);
}

void ForecastLoop::guest_removed(const Guest &guest) {
    guest_disconnected(guest);
}

} // namespace tidemark::daemon
