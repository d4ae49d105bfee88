// SPDX-License-Identifier: GPL-2.0-or-later
//
// A parsed domain as the hook sends it to the daemon.
#include "domain/domain.h"
#include "domain/group_id.h"
#include "domain/json_fields.h"
#include "domain/resolve.h"

namespace tidemark::domain {

using nlohmann::json;

namespace {

constexpr std::size_t kObstaclesMost = 1000;

json policy_json(const Policy &policy) {
    json out = json::object();
    if (policy.eviction)
        out["eviction"] = eviction_text(*policy.eviction);
    put(out, "prefetch", policy.prefetch);
    put(out, "window", policy.window);
    put(out, "cold", policy.cold);
    put(out, "slowdown", policy.slowdown);
    put(out, "learn", policy.learn);
    put(out, "reuse", policy.reuse);
    put(out, "learn-writes", policy.learn_writes);
    return out;
}

Policy policy_from(JsonFields fields) {
    Policy policy;
    policy.eviction = fields.eviction("eviction");
    policy.prefetch = fields.boolean("prefetch");
    policy.window = fields.count("window", 1, kWindowMost);
    policy.cold = fields.count("cold", 1, kColdMost);
    policy.slowdown = fields.count("slowdown", 0, kSlowdownMost);
    policy.learn = fields.boolean("learn");
    policy.reuse = fields.boolean("reuse");
    policy.learn_writes = fields.boolean("learn-writes");
    return policy;
}

json tier_json(const TierElement &tier) {
    json out = json::object();
    if (tier.name.empty()) {
        out["class"] = tier_class_text(tier.tier_class);
        out["path"] = tier.path;
    } else {
        out["name"] = tier.name;
    }
    put(out, "capacity", tier.capacity);
    put(out, "write-budget", tier.write_budget);
    return out;
}

TierElement tier_from(JsonFields fields) {
    TierElement tier;
    tier.name = fields.text("name");
    tier.path = fields.text("path");
    tier.tier_class = fields.tier_class("class").value_or(TierClass::nvme);
    tier.capacity = fields.number("capacity", 1, kSizeMost);
    tier.write_budget = fields.number("write-budget", 0, kSizeMost);
    if (tier.name.empty() && !tier.path.starts_with('/'))
        fields.wrong("path", "a tier must have a name, or a class and an absolute path");
    return tier;
}

json element_json(const DomainElement &element) {
    json out = json::object();
    if (element.dram)
        out["dram"] = element.dram->text();
    if (element.floor)
        out["floor"] = element.floor->text();
    put(out, "priority", element.priority);
    if (element.affinity.kind == Affinity::Kind::group)
        out["group"] = element.affinity.name;
    if (element.affinity.kind == Affinity::Kind::service)
        out["service"] = element.affinity.name;
    out["tiers"] = json::array();
    for (const TierElement &tier : element.tiers)
        out["tiers"].push_back(tier_json(tier));
    out["policy"] = policy_json(element.policy);
    out["labels"] = element.labels;
    return out;
}

std::optional<Amount> amount_from(JsonFields &fields, std::string_view key) {
    const std::string text = fields.text(key);
    if (text.empty())
        return std::nullopt;
    const auto amount = parse_amount(text);
    if (amount && amount->value > 0)
        return *amount;
    fields.wrong(key, "it must be a percentage or a size");
    return std::nullopt;
}

Affinity affinity_from(JsonFields &fields) {
    for (const auto &[key, kind] :
         {std::pair{"group", Affinity::Kind::group}, {"service", Affinity::Kind::service}}) {
        const std::string name = fields.text(key);
        if (valid_name(name))
            return {kind, name};
        if (!name.empty())
            fields.wrong(key, "it must be a name");
    }
    return {};
}

DomainElement element_from(JsonFields fields) {
    DomainElement element;
    element.dram = amount_from(fields, "dram");
    element.floor = amount_from(fields, "floor");
    element.priority = fields.count("priority", 1, kPriorityMost);
    element.affinity = affinity_from(fields);
    for (const JsonFields &tier : fields.list("tiers", kTiersMost))
        element.tiers.push_back(tier_from(tier));
    if (const auto policy = fields.object("policy"))
        element.policy = policy_from(*policy);
    element.labels = fields.texts("labels", kLabelsMost);
    return element;
}

} // namespace

json to_json(const Domain &domain) {
    json out = {{"uuid", domain.uuid},
                {"name", domain.name},
                {"title", domain.title},
                {"memory", domain.memory},
                {"current-memory", domain.current},
                {"max-memory", domain.max_memory}};
    if (!domain.obstacles.empty())
        out["obstacles"] = domain.obstacles;
    put(out, "dac-label", domain.dac_label);
    put(out, "emulator", domain.emulator);
    if (domain.element)
        out["element"] = element_json(*domain.element);
    return out;
}

std::string to_json_text(const Domain &domain) {
    return json_text(to_json(domain));
}

Result<Domain> domain_from_json(std::string_view text) {
    Problems problems;
    Domain domain;
    if (const auto document = parse_json_object(text, kJsonMost, problems)) {
        JsonFields fields(*document, "", problems);
        fields.required("uuid").required("name").required("memory").required("element");
        if (const auto uuid = normal_uuid(fields.text("uuid")))
            domain.uuid = *uuid;
        else
            fields.wrong("uuid", "it must be a UUID");
        domain.name = fields.text("name");
        domain.title = fields.text("title");
        domain.memory = fields.number("memory", 1, kSizeMost).value_or(0);
        domain.current = fields.number("current-memory", 0, kSizeMost).value_or(domain.memory);
        domain.max_memory = fields.number("max-memory", 0, kSizeMost).value_or(domain.memory);
        domain.obstacles = fields.texts("obstacles", kObstaclesMost);
        domain.dac_label = fields.text("dac-label");
        domain.emulator = fields.text("emulator");
        if (const auto element = fields.object("element"))
            domain.element = element_from(*element);
    }
    if (!problems.empty())
        return tl::unexpected(as_error(problems));
    return domain;
}

} // namespace tidemark::domain
