// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests with everything around them that a test needs.
#pragma once

#include "daemon/guests.h"
#include "domain/resolve.h"
#include "simulated_guest.h"
#include "support/temp_dir.h"

#include <fstream>
#include <map>
#include <optional>

namespace tidemark::daemon::testing {

inline constexpr const char *kWeb = "11111111-2222-3333-4444-555555555555";
inline constexpr const char *kDb = "aaaaaaaa-2222-3333-4444-555555555555";
inline constexpr std::uint64_t kGiB = 1U << 30;

struct FakeSource : SettingsSource {
    GuestSettings operator_settings(const std::string &uuid) const override {
        const auto found = by_operator.find(uuid);
        return found == by_operator.end() ? GuestSettings{} : found->second;
    }
    std::optional<GuestSettings> element_settings(const std::string &) const override {
        return element;
    }
    std::optional<GuestGroup> group_of(const Guest &) const override { return group; }
    PolicySettings defaults() const override { return of_host; }

    std::map<std::string, GuestSettings> by_operator;
    std::optional<GuestSettings> element;
    std::optional<GuestGroup> group;
    PolicySettings of_host;
};

struct GuestsBench : GuestObserver {
    GuestsBench() {
        options.run_dir = dir / "run";
        options.state_dir = dir / "state";
        options.libvirt_pid_dir = dir / "pids";
        options.stats_period = std::chrono::milliseconds(20);
        options.profile_period = std::chrono::milliseconds(20);
        std::filesystem::create_directories(options.libvirt_pid_dir);
        begin();
    }
    ~GuestsBench() override { end(); }

    void begin() {
        guests = std::make_unique<Guests>(io, options, source);
        guests->observe(*this);
        REQUIRE(guests->start());
    }
    // As a daemon that ends.
    void end() {
        guests.reset();
        io.restart();
        io.poll();
    }
    bool until(const std::function<bool()> &so) { return run_until(io, so); }

    std::unique_ptr<SimulatedGuest>
    boot(const std::string &uuid, const std::string &name,
         std::vector<std::pair<std::string, std::uint64_t>> backends = {{"pc.ram", kGiB}}) {
        auto guest = std::make_unique<SimulatedGuest>(io, options.run_dir + "/vm.sock", uuid, name,
                                                      std::move(backends));
        REQUIRE(until([&] { return is_connected(uuid); }));
        return guest;
    }
    bool is_connected(const std::string &uuid) const {
        const Guest *guest = guests->find(uuid);
        return guest != nullptr && guest->connected;
    }
    // A resolved domain, as the hook leaves it.
    void define(const domain::ResolvedDomain &resolved) const {
        std::ofstream(options.run_dir + "/domains/" + resolved.uuid + ".json")
            << domain::to_json_text(resolved);
    }
    static domain::ResolvedDomain domain_of(const std::string &uuid, const std::string &name) {
        domain::ResolvedDomain resolved;
        resolved.uuid = uuid;
        resolved.name = name;
        resolved.memory = kGiB;
        resolved.dram_limit = kGiB / 2;
        resolved.dram_floor = kGiB / 8;
        resolved.tiers.resize(1);
        resolved.tiers[0].path = "/tier";
        resolved.tiers[0].capacity = 2 * kGiB;
        resolved.qmp = "/run/tidemark/vm.sock";
        return resolved;
    }

    void guest_removed(const Guest &guest) override { removed.push_back(guest.uuid); }
    void guest_event(const Guest &, const GuestEvent &event) override {
        events.push_back(event.name);
    }

    test::TempDir dir;
    boost::asio::io_context io;
    GuestsOptions options;
    FakeSource source;
    std::unique_ptr<Guests> guests;
    std::vector<std::string> removed, events;
};

// Two full polls later: whatever would be sent again has been.
inline void let_polls_pass(GuestsBench &bench, const SimulatedGuest &guest) {
    const std::size_t seen = guest.qemu->received("query-tiered-memory").size();
    REQUIRE(bench.until(
        [&] { return guest.qemu->received("query-tiered-memory").size() >= seen + 3; }));
}

} // namespace tidemark::daemon::testing
