// SPDX-License-Identifier: GPL-2.0-or-later
//
// The members of a JSON object while it is read, with a sentence for each that is not what it must be.
#pragma once

#include "domain/policy.h"
#include "domain/sentences.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::domain {

class JsonFields {
  public:
    // `where` begins sentences: "tiers[0]"; empty for the document. `object` must live longer.
    JsonFields(const nlohmann::json &object, std::string where, Problems &problems);

    // Not there is no problem, unless it is `required()`.
    JsonFields &required(std::string_view key);
    std::string text(std::string_view key);
    std::optional<std::uint64_t> number(std::string_view key, std::uint64_t least,
                                        std::uint64_t most);
    std::optional<std::uint32_t> count(std::string_view key, std::uint32_t least,
                                       std::uint32_t most);
    std::optional<bool> boolean(std::string_view key);
    std::vector<std::string> texts(std::string_view key, std::size_t most);
    std::optional<TierClass> tier_class(std::string_view key);
    std::optional<Eviction> eviction(std::string_view key);
    // An array's elements, or nothing; an object.
    std::vector<JsonFields> list(std::string_view key, std::size_t most);
    std::optional<JsonFields> object(std::string_view key);

    void wrong(std::string_view key, const std::string &complaint);

  private:
    const nlohmann::json *find(std::string_view key) const;
    std::string path(std::string_view key) const;

    const nlohmann::json &object_;
    std::string where_;
    Problems &problems_;
};

// A document of at most `most` bytes whose root is an object.
std::optional<nlohmann::json> parse_json_object(std::string_view text, std::size_t most,
                                                Problems &problems);

// Writes a member that somebody said something about; what is empty is left out.
template <typename T>
void put(nlohmann::json &into, const char *key, const std::optional<T> &value) {
    if (value)
        into[key] = *value;
}

inline void put(nlohmann::json &into, const char *key, const std::string &value) {
    if (!value.empty())
        into[key] = value;
}

// Text in which invalid UTF-8 is replaced instead of refused.
std::string json_text(const nlohmann::json &document);

} // namespace tidemark::domain
