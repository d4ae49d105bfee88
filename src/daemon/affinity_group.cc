// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_group.h"

#include "base/utf8.h"
#include "daemon/json_body.h"
#include "domain/json_fields.h"
#include "domain/policy.h"

#include <cctype>
#include <cerrno>
#include <nlohmann/json.hpp>

namespace tidemark::daemon {
namespace {

// The REST interface writes LRU, QMP and domains lru; either is understood.
std::string cased(std::string_view text, bool upper) {
    std::string out(text);
    for (char &letter : out) {
        const auto code = static_cast<unsigned char>(letter);
        letter = static_cast<char>(upper ? std::toupper(code) : std::tolower(code));
    }
    return out;
}

// Reads the members of one policy object; keeps the first sentence about what is wrong.
class PolicyReader {
  public:
    PolicyReader(const nlohmann::json &json, const std::string &where)
        : json_(json), where_(where) {}

    void read(const char *name, std::optional<bool> &out) {
        if (const auto *value = said(name)) {
            if (value->is_boolean()) {
                out = value->get<bool>();
            } else {
                complain(name, *value, "true or false");
            }
        }
    }

    void read(const char *name, std::optional<std::uint32_t> &out, std::uint32_t least,
              std::uint32_t most) {
        if (const auto *value = said(name)) {
            if (value->is_number_unsigned() && value->get<std::uint64_t>() >= least &&
                value->get<std::uint64_t>() <= most) {
                out = value->get<std::uint32_t>();
            } else {
                complain(name, *value,
                         "a whole number from " + std::to_string(least) + " to " +
                             std::to_string(most));
            }
        }
    }

    void read(const char *name, std::optional<domain::Eviction> &out) {
        if (const auto *value = said(name)) {
            out = value->is_string()
                      ? domain::parse_eviction(cased(value->get<std::string>(), false))
                      : std::nullopt;
            if (!out) {
                complain(name, *value, "LRU, LFU or FIFO");
            }
        }
    }

    std::string sentence;

  private:
    const nlohmann::json *said(const char *name) const {
        const auto found = json_.find(name);
        return found == json_.end() || found->is_null() ? nullptr : &*found;
    }

    void complain(const char *name, const nlohmann::json &value, const std::string &wanted) {
        if (sentence.empty()) {
            sentence = where_ + "." + name + " is " + cut(json_text(value), 64);
            while (!sentence.empty() && sentence.back() == '\n') {
                sentence.pop_back();
            }
            sentence += "; it must be " + wanted;
        }
    }

    const nlohmann::json &json_;
    const std::string &where_;
};

} // namespace

const char *to_string(GroupOrigin origin) {
    switch (origin) {
    case GroupOrigin::by_operator:
        return "operator";
    case GroupOrigin::domain:
        return "domain";
    case GroupOrigin::service:
        return "service";
    }
    return "";
}

std::optional<GroupOrigin> group_origin_of(std::string_view text) {
    for (const GroupOrigin origin :
         {GroupOrigin::by_operator, GroupOrigin::domain, GroupOrigin::service}) {
        if (text == to_string(origin)) {
            return origin;
        }
    }
    return std::nullopt;
}

nlohmann::json policy_to_json(const PolicySettings &policy) {
    nlohmann::json json = nlohmann::json::object();
    domain::put(json, "reuseEnabled", policy.reuse);
    domain::put(json, "prefetchEnabled", policy.prefetch);
    domain::put(json, "prefetchWindow", policy.window);
    if (policy.eviction) {
        json["evictionPolicy"] = cased(domain::eviction_text(*policy.eviction), true);
    }
    domain::put(json, "coldAge", policy.cold);
    domain::put(json, "reclaimSlowdown", policy.slowdown);
    domain::put(json, "learn", policy.learn);
    domain::put(json, "learnWrites", policy.learn_writes);
    return json;
}

Result<PolicySettings> policy_from_json(const nlohmann::json &json, const std::string &where) {
    if (!json.is_object()) {
        return fail(EINVAL, where + " must be an object, and is " + json.type_name());
    }
    if (auto unknown = unknown_member(json, {"reuseEnabled", "prefetchEnabled", "prefetchWindow",
                                             "evictionPolicy", "coldAge", "reclaimSlowdown",
                                             "learn", "learnWrites"})) {
        return fail(EINVAL, where + ": " + *unknown);
    }
    PolicySettings policy;
    PolicyReader reader(json, where);
    reader.read("reuseEnabled", policy.reuse);
    reader.read("prefetchEnabled", policy.prefetch);
    reader.read("prefetchWindow", policy.window, 1, domain::kWindowMost);
    reader.read("evictionPolicy", policy.eviction);
    reader.read("coldAge", policy.cold, 1, domain::kColdMost);
    reader.read("reclaimSlowdown", policy.slowdown, 0, domain::kSlowdownMost);
    reader.read("learn", policy.learn);
    reader.read("learnWrites", policy.learn_writes);
    if (!reader.sentence.empty()) {
        return fail(EINVAL, reader.sentence);
    }
    return policy;
}

} // namespace tidemark::daemon
