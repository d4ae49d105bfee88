// SPDX-License-Identifier: GPL-2.0-or-later
//
// All guests of this host: one record each, kept while its QEMU is connected or its resolved domain
// exists. QEMU connects to vm.sock by itself, and again after a restart of the daemon, so nothing
// here is persistent. Everything happens in the io_context's one thread; callbacks too, never from
// within the call that they answer.
#pragma once

#include "base/result.h"
#include "daemon/guest.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace tidemark::daemon {

// What others know about a guest's settings; Guests asks when a guest appears and whenever refresh()
// is called. Implemented over Groups and Store.
class SettingsSource {
  public:
    virtual ~SettingsSource() = default;
    virtual GuestSettings operator_settings(const std::string &uuid) const = 0;
    // Priority and policy that the domain's element itself gives. The resolved domain has the host's
    // [defaults] mixed in, which a group's policy goes before. Nothing known of the element: the
    // resolved domain's are taken for its own.
    virtual std::optional<GuestSettings> element_settings(const std::string &) const {
        return std::nullopt;
    }
    // The operator's group of it, else the domain's, else the service's; none: no group.
    virtual std::optional<GuestGroup> group_of(const Guest &guest) const = 0;
    virtual PolicySettings defaults() const = 0;
};

// Told what happens to guests. The Guest is valid during the call only.
class GuestObserver {
  public:
    virtual ~GuestObserver() = default;
    virtual void guest_connected(const Guest &) {}
    virtual void guest_disconnected(const Guest &) {}
    virtual void guest_domain_changed(const Guest &) {
    } // title, labels, group, settings of its element, RAM
    virtual void guest_removed(const Guest &) {} // its record goes now
    virtual void guest_stats(const Guest &) {}   // new stats
    virtual void guest_profile(const Guest &) {} // new profile, with heat
    virtual void guest_event(const Guest &, const GuestEvent &) {}
};

struct GuestsOptions {
    std::string run_dir;   // vm.sock, domains/, exchange/
    std::string state_dir; // learned/, recorded/
    // Where libvirt writes NAME.pid.
    std::string libvirt_pid_dir = "/run/libvirt/qemu";
    std::chrono::milliseconds stats_period{5000};
    std::chrono::milliseconds profile_period{10000};
    std::chrono::milliseconds command_deadline{10000};
    std::chrono::milliseconds save_learned_period{600000};
    std::size_t max_guests = 1024;
};

struct MemoryRange {
    std::uint64_t offset = 0, length = 0; // bytes, multiples of 4096
};

struct PrefetchOrder {
    std::string backend; // empty: the only one
    std::vector<MemoryRange> ranges;
    bool to_nvme = false; // else to DRAM
    double confidence = 1;
    std::optional<std::uint32_t> deadline_ms;
};

class Guests {
  public:
    static constexpr std::size_t kMaxRanges = 65536; // in one order

    template <typename T> using Done = std::function<void(Result<T>)>;
    struct Nothing {};

    // source and observers outlive it.
    Guests(boost::asio::io_context &io, GuestsOptions options, const SettingsSource &source);
    ~Guests();
    Guests(const Guests &) = delete;
    Guests &operator=(const Guests &) = delete;

    // Reads run_dir/domains and starts to listen on run_dir/vm.sock (0660, group kvm if there is
    // one).
    Result<void> start();
    // Stops listening and closes all sessions; QEMUs try again until somebody listens.
    void stop();
    void observe(GuestObserver &observer);

    const Guest *find(std::string_view uuid) const; // any case
    std::vector<const Guest *> all() const;         // by uuid
    std::size_t size() const;

    // The resolved domain of uuid may have changed (prepared, started, reconnected, metadata): reads
    // run_dir/domains/<uuid>.json again and pushes what is different. A sentence if the file is bad; the
    // guest keeps what it had.
    Result<void> reread_domain(const std::string &uuid);
    // The domain stopped: its record goes as soon as its QEMU has.
    void domain_stopped(const std::string &uuid);
    // Why the element that its domain has now has no effect; empty: it has. Shown until QEMU is another one.
    void set_element_problem(const std::string &uuid, const std::string &sentence);

    // Asks the source again about one guest, or all, and pushes what is different, at once. What
    // a guest that is not connected misses is pushed when it connects.
    void refresh(const std::string &uuid);
    void refresh_all();
    // The arbiter's word: bytes of DRAM for the whole guest; 0 takes it back. Shared out over the
    // backends by size.
    void grant(const std::string &uuid, std::uint64_t bytes);

    // Commands to one guest. Failures: ENOENT no such guest, ENOTCONN its QEMU is not connected, EBUSY
    // too many commands wait, ETIMEDOUT, EINVAL with QEMU's own sentence.
    struct Ticket {
        std::string backend;
        std::uint64_t ticket = 0;
    };
    void prefetch(const std::string &uuid, const PrefetchOrder &order, Done<Ticket> done);
    // Pages that will not come because of it; no ticket: all orders of all backends.
    void cancel_prefetch(const std::string &uuid, std::optional<Ticket> ticket,
                         Done<std::uint64_t> done);
    void set_workload(const std::string &uuid, const std::string &workload, Done<Nothing> done);
    // Records all backends for so long, then saves below state_dir. done: recording has begun;
    // how it went on stands in Guest::record. One for a warm-up ends, unsaved, when another is asked for.
    enum class RecordWhy : std::uint8_t { asked, warm_up };
    void record(const std::string &uuid, std::chrono::seconds length, RecordWhy why,
                Done<Nothing> done);
    // Brings back what record() saved of this guest, or of another one of its group: pages ordered.
    void replay(const std::string &uuid, const std::string &from_uuid, Done<std::uint64_t> done);
    // What was learnt goes to state_dir, below the guest's group; loaded by itself into new members.
    void save_learned(const std::string &uuid, Done<Nothing> done);
    // Any command. Used by tests and for what has no call of its own.
    void execute(const std::string &uuid, const std::string &command,
                 const nlohmann::json &arguments, Done<nlohmann::json> done);

    // For /metrics: what happened since the daemon started.
    struct Counters {
        std::uint64_t connections = 0, refused = 0, disconnects = 0, malformed = 0;
        std::uint64_t commands = 0, command_failures = 0, timeouts = 0;
        std::uint64_t settings_pushed = 0;
    };
    Counters counters() const;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace tidemark::daemon
