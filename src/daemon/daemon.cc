// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/daemon.h"

#include "daemon/affinity_loop.h"
#include "daemon/budget_loop.h"
#include "daemon/daemon_files.h"
#include "daemon/daemon_metrics.h"
#include "daemon/domain_watch.h"
#include "daemon/domains.h"
#include "daemon/forecast_loop.h"
#include "daemon/groups.h"
#include "daemon/guests.h"
#include "daemon/http_server.h"
#include "daemon/libvirt_events.h"
#include "daemon/metrics.h"
#include "daemon/rest.h"
#include "daemon/router.h"
#include "daemon/settings.h"
#include "daemon/sqlite_store.h"

#include <boost/asio/io_context.hpp>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <cstring>
#include <unistd.h>

namespace tidemark::daemon {
namespace {

// The socket that systemd made for the API, -1 if it made none.
int socket_of_systemd() {
    const int count = sd_listen_fds(1);
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd) {
        if (sd_is_socket_unix(fd, SOCK_STREAM, 1, nullptr, 0) > 0) {
            return fd;
        }
    }
    return -1;
}

GuestsOptions guests_options(const domain::HostConfig &config) {
    GuestsOptions options;
    options.run_dir = config.run_dir;
    options.state_dir = config.state_dir;
    return options;
}

std::int64_t unix_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

} // namespace

class Daemon::Impl {
  public:
    Impl(boost::asio::io_context &io, const domain::HostConfig &config, std::string version)
        : io_(io), config_(config), version_(std::move(version)),
          server_(io, router_, HttpLimits{}) {}

    Result<void> create() {
        for (auto made :
             {make_folder(config_.run_dir, 0755), make_folder(config_.domains_dir(), 0755),
              make_folder(config_.state_dir, 0700)}) {
            if (!made) {
                return made;
            }
        }
        auto lock = take_lock(config_.run_dir + "/tidemarkd.lock");
        if (!lock) {
            return tl::unexpected(lock.error());
        }
        lock_ = std::move(*lock);
        return open_state();
    }

    Result<void> start() {
        tie_together();
        BudgetOptions budget;
        budget.bytes = status_.budget;
        budget.asked_for = [this](const std::string &uuid) { return domains_->asked_for(uuid); };
        budget.prepared = [this] {
            std::vector<PreparedGuest> prepared;
            for (const domain::ResolvedDomain *domain : domains_->all()) {
                prepared.push_back({domain->uuid, domain->memory, domain->dram_limit});
            }
            return prepared;
        };
        budget_ = std::make_unique<BudgetLoop>(io_, *guests_, budget);
        AffinityLoopOptions affinity;
        affinity.state_dir = config_.state_dir;
        affinity_ = std::make_unique<AffinityLoop>(io_, *guests_, affinity);
        forecasts_ = std::make_unique<ForecastLoop>(io_, *guests_, *store_);
        watch_ = std::make_unique<DomainWatch>(io_, config_, *domains_, *guests_);
        metrics_->add(daemon_metrics(*groups_, *budget_, *affinity_, *forecasts_, server_));
        add_routes();
        if (auto guests = guests_->start(); !guests) {
            return guests;
        }
        events_ = std::make_unique<LibvirtEvents>(
            io_, config_.libvirt_uri,
            [this](const LibvirtDomainChange &change) { watch_->follow(change); });
        watch_->ask_with(
            [this](std::vector<std::string> uuids, std::function<void(LeftFiles::Ended)> answer) {
                if (events_) {
                    events_->ask_ended(std::move(uuids), std::move(answer));
                }
            });
        const int socket = socket_of_systemd();
        auto listening = socket >= 0 ? server_.adopt_unix(socket, config_.api_group)
                                     : server_.listen_unix(config_.api_socket(), config_.api_group);
        if (listening && !config_.tcp.empty()) {
            listening =
                server_.listen_tls({config_.tcp, config_.cert, config_.key, config_.client_ca});
        }
        return listening;
    }

    void stop() {
        server_.stop();
        events_.reset();
        watch_->stop();
        forecasts_->stop();
        affinity_->stop();
        budget_->stop();
        guests_->stop();
    }

  private:
    Result<void> open_state() {
        auto store = open_sqlite_store(config_.database());
        if (!store) {
            return tl::unexpected(store.error());
        }
        store_ = std::move(*store);
        auto groups = Groups::open(*store_);
        if (!groups) {
            return tl::unexpected(groups.error());
        }
        groups_ = std::move(*groups);
        auto settings = Settings::open(*store_, *groups_, config_.policy);
        if (!settings) {
            return tl::unexpected(settings.error());
        }
        settings_ = std::move(*settings);
        status_.version = version_;
        status_.started_unix_ms = unix_ms();
        status_.budget = config_.dram.of(host_memory());
        auto domains = Domains::open(*store_, *groups_, *settings_, config_, status_.budget);
        if (!domains) {
            return tl::unexpected(domains.error());
        }
        domains_ = std::move(*domains);
        guests_ = std::make_unique<Guests>(io_, guests_options(config_), *settings_);
        metrics_ = std::make_unique<Metrics>(*guests_);
        return {};
    }

    void tie_together() {
        settings_->know_elements(
            [this](const std::string &uuid) { return domains_->element_settings(uuid); });
        domains_->measure_with([this](const std::string &uuid) -> std::optional<Domains::InForce> {
            const Guest *guest = guests_->find(uuid);
            if (guest == nullptr || guest->stats.empty()) {
                return std::nullopt;
            }
            const std::uint64_t limit = guest->granted != 0 ? guest->granted : guest->dram_limit();
            return Domains::InForce{limit, guest->dram_used(), guest->memory};
        });
        domains_->when_prepared([this] { budget_->make_room(); });
        groups_->listen([this](const std::vector<std::string> &guests) {
            for (const std::string &uuid : guests) {
                guests_->refresh(uuid);
            }
        });
        status_.arbiter = [this] { return budget_->state(); };
        status_.affinity = [this] { return affinity_->state(); };
        status_.libvirt_connected = [this] { return events_ != nullptr && events_->connected(); };
    }

    void add_routes() {
        add_group_routes(router_, *groups_);
        add_domain_routes(router_, *domains_, *watch_);
        add_guest_routes(router_, *guests_, *settings_, *domains_);
        add_guest_command_routes(router_, *guests_);
        add_forecast_routes(router_, *guests_);
        add_similar_routes(router_, *guests_, *affinity_);
        add_status_routes(router_, status_, *guests_, *groups_, *domains_, server_);
        add_tier_routes(router_, config_, *guests_);
        add_page_routes(router_, *metrics_);
    }

    boost::asio::io_context &io_;
    const domain::HostConfig config_;
    const std::string version_;
    UniqueFd lock_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<Groups> groups_;
    std::unique_ptr<Settings> settings_;
    std::unique_ptr<Domains> domains_;
    std::unique_ptr<Guests> guests_;
    std::unique_ptr<BudgetLoop> budget_;
    std::unique_ptr<AffinityLoop> affinity_;
    std::unique_ptr<ForecastLoop> forecasts_;
    std::unique_ptr<DomainWatch> watch_;
    std::unique_ptr<Metrics> metrics_;
    std::unique_ptr<LibvirtEvents> events_;
    DaemonStatus status_;
    Router router_;
    HttpServer server_; // goes first: handlers use all of the above
};

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>>
Daemon::create(boost::asio::io_context &io, const domain::HostConfig &config, std::string version) {
    auto impl = std::make_unique<Impl>(io, config, std::move(version));
    if (auto made = impl->create(); !made) {
        return tl::unexpected(made.error());
    }
    return std::unique_ptr<Daemon>(new Daemon(std::move(impl)));
}

Result<void> Daemon::start() {
    return impl_->start();
}
void Daemon::stop() {
    impl_->stop();
}

} // namespace tidemark::daemon
