// SPDX-License-Identifier: GPL-2.0-or-later
//
// The domains that libvirt's hook told of: those that are about to start, and those that run. Kept in the
// store, because libvirt does not tell again when the daemon comes back.
#pragma once

#include "base/result.h"
#include "daemon/guest_settings.h"
#include "daemon/store.h"
#include "domain/domain.h"
#include "domain/host_config.h"
#include "domain/resolve.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::daemon {

class Groups;
class Settings;

class Domains {
  public:
    static constexpr std::size_t kMost = record_bound(RecordKind::domain).count;

    // What runs here without a hook having said so, or what the arbiter gave: the DRAM limit in force
    // and in use of a guest, and its RAM with what was plugged in; nothing if it is not connected.
    struct InForce {
        std::uint64_t limit = 0, used = 0, memory = 0;
    };
    using Measure = std::function<std::optional<InForce>(const std::string &uuid)>;

    // budget: bytes of DRAM for all guests. What happened while nobody listened is made good: domains
    // whose file in the run directory is gone are forgotten, and those that have one are taken in. Everything
    // that is given outlives this.
    static Result<std::unique_ptr<Domains>> open(Store &store, Groups &groups, Settings &settings,
                                                 const domain::HostConfig &config,
                                                 std::uint64_t budget);
    void measure_with(Measure measure) { measure_ = std::move(measure); }
    // Called when a domain is about to start, before it is told what with.
    void when_prepared(std::function<void()> prepared) { prepared_ = std::move(prepared); }

    // What the domain is started with: its floor fits beside the others', and it is a member of its
    // group from now on. EINVAL: the element cannot be had on this host; ENOSPC: its floor does not fit.
    Result<domain::ResolvedDomain> prepare(const domain::Domain &domain);
    // It runs: known already, or taken in from the file that the hook wrote while nobody listened,
    // whether its floor fits or not. ENOENT: there is no such file either. domain: what the hook tells, if
    // it does; without it what the element itself says is known only when libvirt tells.
    Result<void> running(const std::string &uuid, std::optional<domain::Domain> domain = {});
    // Its element was changed while it runs: what it resolves to now. ENOENT: it is not known.
    Result<domain::ResolvedDomain> change_element(const std::string &uuid, std::string_view xml);
    // It stopped, or never started: it is no member of its domain's group any more.
    Result<void> stopped(const std::string &uuid);

    // Whether a guest's floor may be that high. ENOSPC with a sentence.
    Result<void> floor_fits(const std::string &uuid, const std::string &name,
                            std::uint64_t floor) const;

    std::size_t size() const { return known_.size(); }
    std::vector<const domain::ResolvedDomain *> all() const;
    const domain::ResolvedDomain *find(const std::string &uuid) const;
    std::uint64_t budget() const { return budget_; }
    std::uint64_t floors() const; // of all that are known, bytes
    // The DRAM its element asks for; it was started with less if that was not free.
    std::optional<std::uint64_t> asked_for(const std::string &uuid) const;
    // What the element itself says of priority and policy.
    std::optional<GuestSettings> element_settings(const std::string &uuid) const;

  private:
    struct Known {
        std::optional<domain::Domain> domain; // nothing: started while nobody listened
        domain::ResolvedDomain resolved;
        std::uint64_t asked = 0; // DRAM limit of the element, which may be more than there was
    };

    Domains(Store &store, Groups &groups, Settings &settings, const domain::HostConfig &config,
            std::uint64_t budget)
        : store_(store), groups_(groups), settings_(settings), config_(config), budget_(budget) {}

    static std::optional<Known> parse_record(std::string_view text);
    Result<void> read_store();
    Result<void> read_files();
    Result<domain::ResolvedDomain> read_file(const std::string &uuid) const;
    Result<domain::ResolvedDomain> take(std::optional<domain::Domain> domain,
                                        domain::ResolvedDomain resolved, std::uint64_t asked);
    std::uint64_t floor_of(const domain::ResolvedDomain &resolved) const;
    Result<std::uint64_t> room_for(const std::string &uuid, const std::string &name,
                                   std::uint64_t floor, std::uint64_t wanted) const;
    // As QEMU gets it: the group is the one it is really in.
    domain::ResolvedDomain with_group_in_force(domain::ResolvedDomain resolved) const;

    Store &store_;
    Groups &groups_;
    Settings &settings_;
    const domain::HostConfig &config_;
    std::uint64_t budget_;
    Measure measure_;
    std::function<void()> prepared_;
    std::map<std::string, Known> known_;
};

// Bytes of RAM of this host, MemTotal.
std::uint64_t host_memory();

} // namespace tidemark::daemon
