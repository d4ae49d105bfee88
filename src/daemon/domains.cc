// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/domains.h"

#include "daemon/arbiter.h"
#include "daemon/groups.h"
#include "daemon/json_body.h"
#include "daemon/settings.h"
#include "daemon/store.h"

#include "domain/group_id.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace tidemark::daemon {
namespace {

std::optional<DomainGroup> group_of(const domain::ResolvedDomain &resolved) {
    if (resolved.group.empty()) {
        return std::nullopt;
    }
    if (!resolved.service.empty()) {
        return DomainGroup{resolved.group, "service:" + resolved.service, GroupOrigin::service};
    }
    const std::string &name = resolved.group_name;
    return DomainGroup{resolved.group, name.empty() ? resolved.group : name, GroupOrigin::domain};
}

// As far as it matters for resolving its element again. The hook, which was alone, looked at all of it.
domain::Domain domain_of(const domain::ResolvedDomain &resolved) {
    domain::Domain domain;
    domain.uuid = resolved.uuid;
    domain.name = resolved.name;
    domain.title = resolved.title;
    domain.memory = domain.current = domain.max_memory = resolved.memory;
    return domain;
}

std::string record_of(const std::optional<domain::Domain> &domain,
                      const domain::ResolvedDomain &resolved, std::uint64_t asked) {
    nlohmann::json json = {{"resolved", to_json(resolved)}, {"asked", asked}};
    if (domain) {
        json["domain"] = to_json(*domain);
    }
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

std::optional<Domains::Known> Domains::parse_record(std::string_view text) {
    // What an older version wrote and cannot be read is as if it had not been written: the file is
    // read instead.
    auto json = parse_json(text);
    if (!json || !json->is_object() || !json->contains("resolved")) {
        return std::nullopt;
    }
    auto resolved = domain::resolved_from_json((*json)["resolved"].dump());
    if (!resolved) {
        return std::nullopt;
    }
    Known known{std::nullopt, std::move(*resolved), 0};
    const nlohmann::json asked = json->value("asked", nlohmann::json());
    known.asked =
        asked.is_number_unsigned() ? asked.get<std::uint64_t>() : known.resolved.dram_limit;
    if (json->contains("domain")) {
        if (auto domain = domain::domain_from_json((*json)["domain"].dump())) {
            known.domain = std::move(*domain);
        }
    }
    return known;
}

std::uint64_t host_memory() {
    std::ifstream file("/proc/meminfo");
    std::string name;
    std::uint64_t kib = 0;
    while (file >> name >> kib) {
        if (name == "MemTotal:") {
            return kib << 10;
        }
        file.ignore(256, '\n');
    }
    return 0;
}

Result<std::unique_ptr<Domains>> Domains::open(Store &store, Groups &groups, Settings &settings,
                                               const domain::HostConfig &config,
                                               std::uint64_t budget) {
    std::unique_ptr<Domains> domains(new Domains(store, groups, settings, config, budget));
    for (auto read : {domains->read_store(), domains->read_files()}) {
        if (!read) {
            return tl::unexpected(read.error());
        }
    }
    return domains;
}

Result<void> Domains::read_store() {
    auto keys = store_.keys(RecordKind::domain);
    if (!keys) {
        return tl::unexpected(keys.error());
    }
    for (const std::string &uuid : *keys) {
        auto text = store_.get(RecordKind::domain, uuid);
        if (!text) {
            return tl::unexpected(text.error());
        }
        std::optional<Known> known = parse_record(text->value_or(""));
        if (known && access(config_.domain_file(uuid).c_str(), F_OK) == 0) {
            known_.emplace(uuid, std::move(*known));
        } else if (auto gone = stopped(uuid); !gone) {
            return gone;
        }
    }
    return {};
}

Result<void> Domains::read_files() {
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(config_.domains_dir(), error)) {
        const std::string name = entry.path().filename().string();
        const auto uuid = domain::normal_uuid(name.substr(0, name.find('.')));
        if (!uuid || name != *uuid + ".json") {
            continue;
        }
        // One file that makes no sense is no reason not to start: its guest runs without us.
        if (auto taken = running(*uuid); !taken) {
            spdlog::warn("{}: {}", entry.path().string(), taken.error().sentence);
        }
    }
    return {};
}

Result<void> Domains::running(const std::string &uuid, std::optional<domain::Domain> domain) {
    const auto known = known_.find(uuid);
    if (known != known_.end() && (known->second.domain || !domain)) {
        return {};
    }
    auto resolved = known != known_.end() ? Result<domain::ResolvedDomain>(known->second.resolved)
                                          : read_file(uuid);
    if (!resolved) {
        return tl::unexpected(resolved.error());
    }
    std::uint64_t asked = resolved->dram_limit;
    if (domain) {
        const auto anew = domain::resolve(*domain, config_);
        asked = anew ? std::max(asked, anew->dram_limit) : asked;
    }
    auto taken = take(std::move(domain), std::move(*resolved), asked);
    return taken ? Result<void>() : tl::unexpected(taken.error());
}

Result<domain::ResolvedDomain> Domains::read_file(const std::string &uuid) const {
    std::ifstream file(config_.domain_file(uuid), std::ios::binary);
    if (!file) {
        return fail(ENOENT, "no domain " + uuid + " was prepared on this host");
    }
    std::string text(domain::kJsonMost + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    auto resolved = domain::resolved_from_json(text);
    if (resolved && resolved->uuid != uuid) {
        return fail(EINVAL, "the file is about domain " + resolved->uuid);
    }
    return resolved;
}

std::vector<const domain::ResolvedDomain *> Domains::all() const {
    std::vector<const domain::ResolvedDomain *> all;
    for (const auto &[uuid, known] : known_) {
        all.push_back(&known.resolved);
    }
    return all;
}

const domain::ResolvedDomain *Domains::find(const std::string &uuid) const {
    const auto found = known_.find(uuid);
    return found == known_.end() ? nullptr : &found->second.resolved;
}

std::uint64_t Domains::floor_of(const domain::ResolvedDomain &resolved) const {
    return settings_.operator_settings(resolved.uuid).dram_floor.value_or(resolved.dram_floor);
}

std::uint64_t Domains::floors() const {
    std::uint64_t sum = 0;
    for (const auto &[uuid, known] : known_) {
        sum += floor_of(known.resolved);
    }
    return sum;
}

Result<std::uint64_t> Domains::room_for(const std::string &uuid, const std::string &name,
                                        std::uint64_t floor, std::uint64_t wanted) const {
    std::vector<GuestDemand> others;
    for (const auto &[other, known] : known_) {
        if (other == uuid) {
            continue;
        }
        GuestDemand demand;
        demand.id = other;
        demand.floor = floor_of(known.resolved);
        demand.most = known.resolved.memory;
        demand.memory = known.resolved.memory;
        demand.limit = known.resolved.dram_limit;
        if (const auto now = measure_ ? measure_(other) : std::nullopt) {
            demand.limit = now->limit;
            demand.used = now->used;
            demand.most = demand.memory = now->memory;
        }
        others.push_back(std::move(demand));
    }
    return admit(budget_, others, name, floor, wanted);
}

Result<void> Domains::floor_fits(const std::string &uuid, const std::string &name,
                                 std::uint64_t floor) const {
    auto room = room_for(uuid, name, floor, floor);
    if (!room) {
        return tl::unexpected(room.error());
    }
    return {};
}

Result<domain::ResolvedDomain> Domains::prepare(const domain::Domain &domain) {
    auto resolved = domain::resolve(domain, config_);
    if (!resolved) {
        return resolved;
    }
    auto limit =
        room_for(resolved->uuid, resolved->name, floor_of(*resolved), resolved->dram_limit);
    if (!limit) {
        return tl::unexpected(limit.error());
    }
    // It starts with what is free, or its floor, for which the arbiter makes room; it gives more as others need less.
    domain::ResolvedDomain granted = *resolved;
    const std::uint64_t whole = *limit / domain::kRegionBytes * domain::kRegionBytes;
    granted.dram_limit = std::max(std::min(whole, resolved->dram_limit),
                                  std::max(resolved->dram_floor, domain::kDramLeast));
    auto taken = take(domain, std::move(granted), resolved->dram_limit);
    if (taken && prepared_) {
        prepared_();
    }
    return taken;
}

Result<domain::ResolvedDomain> Domains::change_element(const std::string &uuid,
                                                       std::string_view xml) {
    const auto known = known_.find(uuid);
    if (known == known_.end()) {
        return fail(ENOENT, "the domain " + uuid + " is not known");
    }
    const domain::ParsedElement parsed = domain::parse_element(xml);
    if (!parsed.problems.empty()) {
        return tl::unexpected(domain::as_error(parsed.problems));
    }
    if (!parsed.element) {
        return fail(EINVAL, "a guest that runs tiered stays so until it stops");
    }
    domain::Domain domain = known->second.domain.value_or(domain_of(known->second.resolved));
    domain.element = parsed.element;
    auto resolved = domain::resolve(domain, config_);
    if (!resolved) {
        return resolved;
    }
    if (auto fits = floor_fits(uuid, resolved->name, floor_of(*resolved)); !fits) {
        return tl::unexpected(fits.error());
    }
    const std::uint64_t asked = resolved->dram_limit;
    return take(domain, std::move(*resolved), asked);
}

Result<domain::ResolvedDomain> Domains::take(std::optional<domain::Domain> domain,
                                             domain::ResolvedDomain resolved, std::uint64_t asked) {
    const std::string uuid = resolved.uuid;
    if (auto put = store_.put(RecordKind::domain, uuid, record_of(domain, resolved, asked)); !put) {
        return tl::unexpected(put.error());
    }
    known_.insert_or_assign(uuid, Known{std::move(domain), resolved, asked});
    if (auto grouped = groups_.set_domain_group(uuid, group_of(resolved)); !grouped) {
        return tl::unexpected(grouped.error());
    }
    return with_group_in_force(std::move(resolved));
}

domain::ResolvedDomain Domains::with_group_in_force(domain::ResolvedDomain resolved) const {
    const AffinityGroup *group = groups_.group_of(resolved.uuid);
    resolved.group = group == nullptr ? "" : group->id;
    if (group != nullptr && groups_.origin_of(resolved.uuid) == GroupOrigin::by_operator) {
        resolved.group_name = group->name;
        resolved.service.clear();
    }
    return resolved;
}

Result<void> Domains::stopped(const std::string &uuid) {
    // Its floor is free whether that can be written or not: a record without a file counts for nothing
    // after a restart, either.
    known_.erase(uuid);
    auto removed = store_.remove(RecordKind::domain, uuid);
    auto left = groups_.set_domain_group(uuid, std::nullopt);
    return removed ? left : removed;
}

std::optional<std::uint64_t> Domains::asked_for(const std::string &uuid) const {
    const auto found = known_.find(uuid);
    if (found == known_.end()) {
        return std::nullopt;
    }
    return found->second.asked;
}

std::optional<GuestSettings> Domains::element_settings(const std::string &uuid) const {
    const auto found = known_.find(uuid);
    if (found == known_.end() || !found->second.domain || !found->second.domain->element) {
        return std::nullopt;
    }
    GuestSettings said;
    said.priority = found->second.domain->element->priority;
    said.policy = found->second.domain->element->policy;
    return said;
}

} // namespace tidemark::daemon
