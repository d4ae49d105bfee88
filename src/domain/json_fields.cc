// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/json_fields.h"

#include "domain/size.h"

namespace tidemark::domain {

namespace {
constexpr std::size_t kTextMost = 64U << 10; // bytes of any string

// Nested deeper than this is nothing of ours, and would only use the stack of who walks it.
constexpr int kDepthMost = 16;
} // namespace

JsonFields::JsonFields(const nlohmann::json &object, std::string where, Problems &problems)
    : object_(object), where_(std::move(where)), problems_(problems) {}

const nlohmann::json *JsonFields::find(std::string_view key) const {
    const auto found = object_.find(std::string(key));
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string JsonFields::path(std::string_view key) const {
    return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

void JsonFields::wrong(std::string_view key, const std::string &complaint) {
    const nlohmann::json *value = find(key);
    problems_.push_back(
        path(key) +
        (value == nullptr ? " is missing; " : " is " + in_quotes(json_text(*value)) + "; ") +
        complaint);
}

JsonFields &JsonFields::required(std::string_view key) {
    if (find(key) == nullptr)
        problems_.push_back(path(key) + " is missing");
    return *this;
}

std::string JsonFields::text(std::string_view key) {
    const nlohmann::json *value = find(key);
    if (value == nullptr)
        return {};
    if (!value->is_string() || value->get_ref<const std::string &>().size() > kTextMost) {
        wrong(key, "it must be a string");
        return {};
    }
    return value->get<std::string>();
}

std::optional<std::uint64_t> JsonFields::number(std::string_view key, std::uint64_t least,
                                                std::uint64_t most) {
    const nlohmann::json *value = find(key);
    if (value == nullptr)
        return std::nullopt;
    if (value->is_number_unsigned()) {
        const auto number = value->get<std::uint64_t>();
        if (number >= least && number <= most)
            return number;
    }
    wrong(key, "it must be a whole number from " + std::to_string(least) + " to " +
                   std::to_string(most));
    return std::nullopt;
}

std::optional<std::uint32_t> JsonFields::count(std::string_view key, std::uint32_t least,
                                               std::uint32_t most) {
    const auto value = number(key, least, most);
    if (!value)
        return std::nullopt;
    return static_cast<std::uint32_t>(*value);
}

std::optional<bool> JsonFields::boolean(std::string_view key) {
    const nlohmann::json *value = find(key);
    if (value == nullptr)
        return std::nullopt;
    if (value->is_boolean())
        return value->get<bool>();
    wrong(key, "it must be true or false");
    return std::nullopt;
}

std::vector<std::string> JsonFields::texts(std::string_view key, std::size_t most) {
    const nlohmann::json *value = find(key);
    std::vector<std::string> all;
    if (value == nullptr)
        return all;
    bool good = value->is_array() && value->size() <= most;
    if (good)
        for (const auto &each : *value) {
            good =
                good && each.is_string() && each.get_ref<const std::string &>().size() <= kTextMost;
            if (good)
                all.push_back(each.get<std::string>());
        }
    if (good)
        return all;
    wrong(key, "it must be a list of at most " + std::to_string(most) + " strings");
    return {};
}

std::optional<TierClass> JsonFields::tier_class(std::string_view key) {
    if (find(key) == nullptr)
        return std::nullopt;
    const nlohmann::json &value = *find(key);
    const auto parsed =
        value.is_string() ? parse_tier_class(value.get<std::string>()) : std::nullopt;
    if (!parsed)
        wrong(key, "it must be \"nvme\" or \"qlc\"");
    return parsed;
}

std::optional<Eviction> JsonFields::eviction(std::string_view key) {
    if (find(key) == nullptr)
        return std::nullopt;
    const nlohmann::json &value = *find(key);
    const auto parsed = value.is_string() ? parse_eviction(value.get<std::string>()) : std::nullopt;
    if (!parsed)
        wrong(key, "it must be \"lru\", \"lfu\" or \"fifo\"");
    return parsed;
}

std::vector<JsonFields> JsonFields::list(std::string_view key, std::size_t most) {
    std::vector<JsonFields> all;
    const nlohmann::json *value = find(key);
    if (value == nullptr)
        return all;
    bool good = value->is_array() && value->size() <= most;
    for (std::size_t i = 0; good && i < value->size(); ++i) {
        good = (*value)[i].is_object();
        all.emplace_back((*value)[i], path(key) + "[" + std::to_string(i) + "]", problems_);
    }
    if (good)
        return all;
    wrong(key, "it must be a list of at most " + std::to_string(most) + " objects");
    return {};
}

std::optional<JsonFields> JsonFields::object(std::string_view key) {
    const nlohmann::json *value = find(key);
    if (value == nullptr)
        return std::nullopt;
    if (value->is_object())
        return JsonFields(*value, path(key), problems_);
    wrong(key, "it must be an object");
    return std::nullopt;
}

std::optional<nlohmann::json> parse_json_object(std::string_view text, std::size_t most,
                                                Problems &problems) {
    if (text.size() > most) {
        problems.push_back("the JSON has " + std::to_string(text.size()) + " bytes; at most " +
                           size_text(most) + " are read");
        return std::nullopt;
    }
    bool deep = false;
    const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json &) {
        deep = deep || depth > kDepthMost;
        return !deep;
    };
    auto document = nlohmann::json::parse(text, watch, false);
    if (!deep && document.is_object())
        return document;
    problems.emplace_back("this is not a JSON object that is nested at most 16 deep");
    return std::nullopt;
}

std::string json_text(const nlohmann::json &document) {
    return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace tidemark::domain
