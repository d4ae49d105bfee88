// SPDX-License-Identifier: GPL-2.0-or-later
//
// Live migration, as far as the daemon has to do with it: every guest is asked now and then, and whenever its
// migration gets on, what a migration costs; how right that was is kept in the store, and told to every QEMU
// that connects, so that bounds hold as often as they say. A QEMU that knows no forecasts is asked once.
#pragma once

#include "daemon/guests.h"
#include "daemon/migration_forecast.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace tidemark::daemon {

class Store;

struct ForecastOptions {
    std::chrono::milliseconds period{60000};
};

struct ForecastState {
    std::uint64_t outcomes = 0; // migrations that completed, since the daemon began
    ForecastScore score;        // of all that are kept
};

class ForecastLoop : public GuestObserver {
  public:
    // Both outlive it. Observes at once; what is kept is read, and what cannot be read is passed over.
    ForecastLoop(boost::asio::io_context &io, Guests &guests, Store &store,
                 ForecastOptions options = {});
    ~ForecastLoop() override;
    ForecastLoop(const ForecastLoop &) = delete;
    ForecastLoop &operator=(const ForecastLoop &) = delete;

    void stop();
    const ForecastState &state() const;
    // What each guest said last, by UUID.
    const std::map<std::string, MigrationForecast> &forecasts() const;

    void guest_connected(const Guest &guest) override;
    void guest_disconnected(const Guest &guest) override;
    void guest_event(const Guest &guest, const GuestEvent &event) override;
    void guest_removed(const Guest &guest) override;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace tidemark::daemon
