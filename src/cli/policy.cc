// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/policy.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace tidemark::cli {
namespace {

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

std::string number_text(double value) {
    return std::to_string(static_cast<long long>(value));
}

} // namespace

bool PolicyOptions::empty() const {
    return !eviction && !prefetch && !reuse && !learn && !learn_writes && !window_s && !cold_s &&
           !slowdown_permille && !priority && !dram && !floor;
}

void put_policy(const PolicyOptions &options, Json &policy) {
    if (!policy.is_object())
        policy = Json::object();
    if (options.eviction)
        policy["evictionPolicy"] = upper(*options.eviction);
    if (options.prefetch)
        policy["prefetchEnabled"] = *options.prefetch;
    if (options.window_s)
        policy["prefetchWindow"] = *options.window_s;
    if (options.cold_s)
        policy["coldAge"] = *options.cold_s;
    if (options.reuse)
        policy["reuseEnabled"] = *options.reuse;
    if (options.slowdown_permille)
        policy["reclaimSlowdown"] = *options.slowdown_permille;
    if (options.learn)
        policy["learn"] = *options.learn;
    if (options.learn_writes)
        policy["learnWrites"] = *options.learn_writes;
}

std::string policy_text(const Json &policy) {
    std::string text;
    const auto add = [&](const std::string &part) { text += (text.empty() ? "" : ", ") + part; };
    if (member(policy, "evictionPolicy").is_string())
        add(lower(text_of(policy, "evictionPolicy")));
    if (member(policy, "prefetchEnabled").is_boolean())
        add(bool_of(policy, "prefetchEnabled") ? "prefetch" : "no prefetch");
    if (member(policy, "prefetchWindow").is_number())
        add("window " + number_text(number_of(policy, "prefetchWindow")) + " s");
    if (member(policy, "coldAge").is_number())
        add("cold after " + number_text(number_of(policy, "coldAge")) + " s");
    return text.empty() ? "defaults" : text;
}

void add_policy_rows(const Json &policy, Table &table) {
    struct Row {
        const char *key, *label, *unit;
    };
    static constexpr Row kRows[] = {{"evictionPolicy", "eviction", ""},
                                    {"prefetchEnabled", "prefetch", ""},
                                    {"prefetchWindow", "window", " s"},
                                    {"coldAge", "cold after", " s"},
                                    {"reclaimSlowdown", "slowdown", " per mille"},
                                    {"learn", "learn", ""},
                                    {"learnWrites", "learn writes", ""},
                                    {"reuseEnabled", "reuse", " (no effect yet)"}};
    for (const Row &row : kRows) {
        const Json &value = member(policy, row.key);
        std::string text = "default";
        if (value.is_boolean())
            text = (value.get<bool>() ? "on" : "off") + std::string(row.unit);
        else if (value.is_number())
            text = number_text(value.get<double>()) + row.unit;
        else if (value.is_string())
            text = lower(value.get<std::string>());
        table.add({row.label, text});
    }
}

} // namespace tidemark::cli
