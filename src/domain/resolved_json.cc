// SPDX-License-Identifier: GPL-2.0-or-later
//
// domains/<uuid>.json, version 1: written by the hook, read by QEMU and the daemon.
#include "domain/group_id.h"
#include "domain/json_fields.h"
#include "domain/resolve.h"

namespace tidemark::domain {

using nlohmann::json;

namespace {

constexpr std::uint64_t kVersion = 1;

void put_policy(json &into, const Policy &policy) {
    if (policy.eviction)
        into["eviction-policy"] = eviction_text(*policy.eviction);
    put(into, "cold-age", policy.cold);
    put(into, "prefetch", policy.prefetch);
    put(into, "prefetch-window", policy.window);
    put(into, "reclaim-slowdown", policy.slowdown);
    put(into, "learn", policy.learn);
    put(into, "reuse", policy.reuse);
    put(into, "learn-writes", policy.learn_writes);
}

Policy read_policy(JsonFields &fields) {
    Policy policy;
    policy.eviction = fields.eviction("eviction-policy");
    policy.cold = fields.count("cold-age", 1, kColdMost);
    policy.prefetch = fields.boolean("prefetch");
    policy.window = fields.count("prefetch-window", 1, kWindowMost);
    policy.slowdown = fields.count("reclaim-slowdown", 0, kSlowdownMost);
    policy.learn = fields.boolean("learn");
    policy.reuse = fields.boolean("reuse");
    policy.learn_writes = fields.boolean("learn-writes");
    return policy;
}

ResolvedTier read_tier(JsonFields fields) {
    fields.required("path").required("class").required("capacity");
    ResolvedTier tier;
    tier.path = fields.text("path");
    if (!tier.path.starts_with('/'))
        fields.wrong("path", "it must be absolute");
    tier.tier_class = fields.tier_class("class").value_or(TierClass::nvme);
    tier.capacity = fields.number("capacity", kRegionBytes, kSizeMost).value_or(0);
    tier.write_budget = fields.number("write-budget", 0, kSizeMost).value_or(0);
    return tier;
}

std::string read_uuid(JsonFields &fields, std::string_view key) {
    const std::string text = fields.text(key);
    const auto uuid = normal_uuid(text);
    if (!uuid && !text.empty())
        fields.wrong(key, "it must be a UUID");
    return uuid.value_or("");
}

void read(JsonFields &fields, ResolvedDomain &domain) {
    for (const char *key :
         {"version", "uuid", "name", "memory", "dram-limit", "dram-floor", "tiers"})
        fields.required(key);
    fields.number("version", kVersion, kVersion);
    domain.uuid = read_uuid(fields, "uuid");
    domain.name = fields.text("name");
    domain.title = fields.text("title");
    domain.memory = fields.number("memory", 1, kSizeMost).value_or(0);
    domain.dram_limit = fields.number("dram-limit", 1, kSizeMost).value_or(0);
    domain.dram_floor = fields.number("dram-floor", 0, kSizeMost).value_or(0);
    if (domain.dram_limit > domain.memory || domain.dram_floor > domain.dram_limit)
        fields.wrong("dram-limit", "it must be at least dram-floor and at most memory");
    domain.priority = fields.count("priority", 1, kPriorityMost).value_or(kPriorityDefault);
    for (const JsonFields &tier : fields.list("tiers", kTiersMost))
        domain.tiers.push_back(read_tier(tier));
    domain.policy = read_policy(fields);
    domain.group = read_uuid(fields, "group");
    domain.group_name = fields.text("group-name");
    domain.service = fields.text("service");
    domain.labels = fields.texts("labels", kLabelsMost);
    domain.qmp = fields.text("qmp");
}

} // namespace

json to_json(const ResolvedDomain &resolved) {
    json tiers = json::array();
    for (const ResolvedTier &tier : resolved.tiers)
        tiers.push_back({{"path", tier.path},
                         {"class", tier_class_text(tier.tier_class)},
                         {"capacity", tier.capacity},
                         {"write-budget", tier.write_budget}});
    json out = {{"version", kVersion},
                {"uuid", resolved.uuid},
                {"name", resolved.name},
                {"title", resolved.title},
                {"memory", resolved.memory},
                {"dram-limit", resolved.dram_limit},
                {"dram-floor", resolved.dram_floor},
                {"priority", resolved.priority},
                {"tiers", tiers},
                {"labels", resolved.labels}};
    put_policy(out, resolved.policy);
    put(out, "group", resolved.group);
    put(out, "group-name", resolved.group_name);
    put(out, "service", resolved.service);
    put(out, "qmp", resolved.qmp);
    return out;
}

std::string to_json_text(const ResolvedDomain &resolved) {
    return json_text(to_json(resolved)) + "\n";
}

Result<ResolvedDomain> resolved_from_json(std::string_view text) {
    Problems problems;
    ResolvedDomain domain;
    if (const auto document = parse_json_object(text, kJsonMost, problems)) {
        JsonFields fields(*document, "", problems);
        read(fields, domain);
    }
    if (!problems.empty())
        return tl::unexpected(as_error(problems));
    return domain;
}

} // namespace tidemark::domain
