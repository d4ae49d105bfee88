// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_json.h"

#include "daemon/affinity_group.h"
#include "daemon/guest.h"
#include "daemon/settings.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

using nlohmann::json;

constexpr std::uint64_t kPage = 4096;

json or_null(const std::string &text) {
    return text.empty() ? json(nullptr) : json(text);
}

std::size_t state(const char *name) {
    const auto *found = std::find_if(kPageStates.begin(), kPageStates.end(),
                                     [&](const char *it) { return std::string_view(it) == name; });
    return static_cast<std::size_t>(found - kPageStates.begin());
}

std::uint64_t pages_in(const Guest &guest, const char *name) {
    std::uint64_t pages = 0;
    for (const BackendStats &backend : guest.stats) {
        pages += backend.pages.at(state(name));
    }
    return pages;
}

// The slowest backend's: what the guest notices.
std::uint64_t slowest(const Guest &guest, std::uint64_t BackendStats::*quantile) {
    std::uint64_t most = 0;
    for (const BackendStats &backend : guest.stats) {
        most = std::max(most, backend.*quantile);
    }
    return most;
}

json tiers_json(const Guest &guest) {
    std::map<std::string, TierStats> by_path;
    for (const BackendStats &backend : guest.stats) {
        for (const TierStats &tier : backend.tiers) {
            TierStats &sum = by_path[tier.path];
            sum.klass = tier.klass;
            sum.degraded |= tier.degraded;
            sum.capacity += tier.capacity;
            sum.used += tier.used;
            sum.read_bytes += tier.read_bytes;
            sum.written_bytes += tier.written_bytes;
        }
    }
    json tiers = json::array();
    for (const auto &[path, tier] : by_path) {
        tiers.push_back({{"path", path},
                         {"class", tier.klass},
                         {"capacity", tier.capacity},
                         {"used", tier.used},
                         {"readBytes", tier.read_bytes},
                         {"writtenBytes", tier.written_bytes},
                         {"degraded", tier.degraded}});
    }
    return tiers;
}

json record_json(const RecordState &record) {
    static constexpr const char *kPhases[] = {"none", "recording", "saved", "failed"};
    json out = {{"phase", kPhases[static_cast<std::size_t>(record.phase)]}};
    if (record.phase == RecordState::Phase::recording) {
        out["endsAt"] = record.ends_unix_ms;
    } else if (record.phase == RecordState::Phase::saved) {
        out["pages"] = record.pages;
    } else if (record.phase == RecordState::Phase::failed) {
        out["sentence"] = record.sentence;
    }
    return out;
}

// Of the largest backend: NUMA cells and DIMMs of one guest do the same work.
const BackendProfile *largest_profile(const Guest &guest) {
    const BackendProfile *found = nullptr;
    std::uint64_t largest = 0;
    for (const BackendProfile &profile : guest.profile) {
        for (const BackendStats &backend : guest.stats) {
            if (backend.id == profile.id && backend.size >= largest) {
                largest = backend.size;
                found = &profile;
            }
        }
    }
    return found != nullptr || guest.profile.empty() ? found : &guest.profile.front();
}

// Bytes seen used within about a minute.
std::uint64_t working_set(const Guest &guest) {
    std::uint64_t sum = 0;
    for (const BackendProfile &profile : guest.profile) {
        for (const WorkingSetSize &set : profile.working_set) {
            if (set.window_s >= 60) {
                sum += set.estimate;
                break;
            }
        }
    }
    return sum;
}

void put_rates(json &out, const Guest &guest) {
    const bool any = !guest.history.samples().empty();
    out["faultsPerSecond"] = any ? guest.history.samples().back().faults : 0.0F;
    out["waitsPerSecond"] = any ? guest.history.samples().back().stored_faults : 0.0F;
    out["latencyP50Ns"] = slowest(guest, &BackendStats::latency_p50_ns);
    out["latencyP99Ns"] = slowest(guest, &BackendStats::latency_p99_ns);
    out["latencyP999Ns"] = slowest(guest, &BackendStats::latency_p999_ns);
}

void put_profile(json &out, const Guest &guest) {
    const BackendProfile *profile = largest_profile(guest);
    out["workload"] = profile == nullptr ? json(nullptr) : or_null(profile->workload);
    out["workloadConfidence"] = profile == nullptr ? 0.0 : profile->workload_confidence;
    out["workingSet"] = working_set(guest);
}

} // namespace

json guest_to_json(const Guest &guest) {
    json out = {{"uuid", guest.uuid},
                {"name", guest.name},
                {"title", guest.title},
                {"labels", guest.labels},
                {"service", or_null(guest.service_of_domain)},
                {"connected", guest.connected},
                {"paused", guest.paused},
                {"pid", guest.pid},
                {"memory", guest.memory},
                {"dramUsed", guest.dram_used()},
                {"dramLimit", guest.dram_limit()},
                {"dramFloor", guest.settings.dram_floor},
                {"dramGranted", guest.granted},
                {"priority", guest.settings.priority},
                {"policy", policy_to_json(guest.settings.policy)},
                {"group", nullptr},
                {"settingsProblem", or_null(guest.settings_problem)},
                {"elementProblem", or_null(guest.element_problem)},
                {"stored", pages_in(guest, "stored") * kPage},
                {"heldPages", pages_in(guest, "held")},
                {"poisonedPages", pages_in(guest, "poisoned")},
                {"tiers", tiers_json(guest)},
                {"statsAt", guest.stats_unix_ms}};
    if (guest.group) {
        out["group"] = {{"groupID", guest.group->uuid}, {"name", guest.group->name}};
    }
    put_rates(out, guest);
    put_profile(out, guest);
    return out;
}

json guest_in_full(const Guest &guest, const GuestSettings &from_operator) {
    json out = guest_to_json(guest);
    out["settings"] = settings_to_json(from_operator);
    out["record"] = record_json(guest.record);
    out["connectedSince"] = guest.connected ? json(guest.connected_unix_ms) : json(nullptr);
    json events = json::array();
    for (const GuestEvent &event : guest.events) {
        events.push_back({{"at", event.unix_ms}, {"name", event.name}, {"text", event.text}});
    }
    out["events"] = std::move(events);
    out["backends"] = json::array();
    if (!guest.stats_json.empty()) {
        out["backends"] = json::parse(guest.stats_json, nullptr, false);
    }
    return out;
}

json guest_heat(const Guest &guest) {
    json samples = json::array();
    for (const GuestHistory::Sample &sample : guest.history.samples()) {
        samples.push_back({{"at", sample.unix_ms},
                           {"heat", sample.heat},
                           {"faultsPerSecond", sample.faults},
                           {"waitsPerSecond", sample.stored_faults},
                           {"dramUsed", sample.dram_used},
                           {"dramLimit", sample.dram_limit},
                           {"latencyP99Us", sample.latency_p99_us}});
    }
    return {{"uuid", guest.uuid},
            {"memory", guest.memory},
            {"buckets", GuestHistory::kBuckets},
            {"samples", std::move(samples)}};
}

} // namespace tidemark::daemon
