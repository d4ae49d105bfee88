// SPDX-License-Identifier: GPL-2.0-or-later
//
// tidemarkd: reads the configuration, runs the daemon until it is told to stop.
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "domain/host_config.h"

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>

namespace {

namespace asio = boost::asio;
using tidemark::daemon::Daemon;

// Tells systemd twice a period that the loop turns.
class Watchdog {
  public:
    explicit Watchdog(asio::io_context &io) : timer_(io) {
        std::uint64_t usec = 0;
        if (sd_watchdog_enabled(0, &usec) > 0) {
            period_ = std::chrono::microseconds(usec / 2);
            tick();
        }
    }
    void stop() { timer_.cancel(); }

  private:
    void tick() {
        sd_notify(0, "WATCHDOG=1");
        timer_.expires_after(period_);
        timer_.async_wait([this](const boost::system::error_code &error) {
            if (!error) {
                tick();
            }
        });
    }

    asio::steady_timer timer_;
    std::chrono::microseconds period_{};
};

int run(const tidemark::domain::HostConfig &config) {
    asio::io_context io(1);
    auto daemon = Daemon::create(io, config, TIDEMARK_VERSION);
    if (!daemon) {
        spdlog::error("{}", daemon.error().sentence);
        return 1;
    }
    if (auto started = (*daemon)->start(); !started) {
        spdlog::error("{}", started.error().sentence);
        return 1;
    }
    Watchdog watchdog(io);
    asio::signal_set signals(io, SIGTERM, SIGINT);
    signals.async_wait([&](const boost::system::error_code &error, int number) {
        if (error) {
            return;
        }
        spdlog::info("stopping: signal {}; guests run on with what they have", number);
        sd_notify(0, "STOPPING=1");
        watchdog.stop();
        (*daemon)->stop();
        io.stop();
    });
    sd_notify(0, "READY=1");
    spdlog::info("ready on {}", config.api_socket());
    io.run();
    return 0;
}

} // namespace

// What is thrown before the daemon runs is memory that is not there.
int main(int argc, char **argv) { // NOLINT(bugprone-exception-escape)
    CLI::App app{
        "Watches the tiered guests of this host, shares DRAM out among them, and keeps their "
        "affinity groups."};
    std::string path;
    bool check = false;
    app.add_option("--config", path,
                   std::string("configuration; default ") + tidemark::domain::kDefaultConfigPath +
                       " if it exists");
    app.add_flag("--check", check, "say whether the configuration is good, and end");
    app.set_version_flag("--version", std::string("tidemarkd ") + TIDEMARK_VERSION);
    CLI11_PARSE(app, argc, argv);

    // A client or guest that goes away is an error on its socket, not the end of the daemon.
    std::signal(SIGPIPE, SIG_IGN);
    auto config = tidemark::domain::load_config(path);
    if (!config) {
        std::fprintf(stderr, "tidemarkd: %s\n", config.error().sentence.c_str());
        return 1;
    }
    if (check) {
        std::printf("%s: good\n", config->source.empty() ? "defaults" : config->source.c_str());
        return 0;
    }
    tidemark::daemon::set_up_log(config->log_level);
    try {
        return run(*config);
    } catch (const std::exception &error) {
        spdlog::critical("tidemarkd ends: {}", error.what());
        return 2;
    }
}
