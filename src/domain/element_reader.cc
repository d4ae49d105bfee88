// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/element_reader.h"

#include "domain/group_id.h"

#include <algorithm>
#include <charconv>

namespace tidemark::domain {

namespace {

constexpr std::size_t kPathMost = 1024;
constexpr const char *kNameForm =
    "letters, digits, '.', '_' and '-', the first a letter or digit, at most 64";

// One element's attributes. Every getter notes what is wrong, and then gives nothing.
class Attributes {
  public:
    Attributes(const xml::Element &element, Problems &problems, std::vector<std::string> known)
        : where_(at_line(element)), tag_("<" + element.name() + ">"), problems_(problems),
          all_(element.attributes()) {
        for (const xml::Attribute &each : all_)
            if (!each.ns.empty() || std::find(known.begin(), known.end(), each.name) == known.end())
                problem(tag_ + " has no attribute " + in_quotes(each.name) +
                        (known.empty() ? "; it has none" : "; it has " + listed(known)));
    }

    void problem(const std::string &sentence) { problems_.push_back(where_ + sentence); }
    const std::string &tag() const { return tag_; }

    const std::string *text(std::string_view name) const {
        for (const xml::Attribute &each : all_)
            if (each.ns.empty() && each.name == name)
                return &each.value;
        return nullptr;
    }
    bool has(std::string_view name) const { return text(name) != nullptr; }

    // `complaint` reads on after the name: "is 'x'; it must be ...".
    void wrong(std::string_view name, const std::string &complaint) {
        problem(std::string(name) + " of " + tag_ + " " + complaint);
    }

    std::optional<std::string> name(std::string_view name) {
        const std::string *value = text(name);
        if (value == nullptr)
            return std::nullopt;
        if (!valid_name(*value)) {
            wrong(name, "is " + in_quotes(*value) + "; it must be " + kNameForm);
            return std::nullopt;
        }
        return *value;
    }

    std::optional<Amount> amount(std::string_view name) {
        return number<Amount>(name, [](const std::string &value) { return parse_amount(value); });
    }

    std::optional<std::uint64_t> size(std::string_view name) {
        return number<std::uint64_t>(name,
                                     [](const std::string &value) { return parse_size(value); });
    }

    std::optional<std::uint32_t> count(std::string_view name, std::uint32_t least,
                                       std::uint32_t most) {
        const std::string *value = text(name);
        if (value == nullptr)
            return std::nullopt;
        std::uint32_t parsed = 0;
        const char *end = value->data() + value->size();
        const auto [after, error] = std::from_chars(value->data(), end, parsed);
        // One way to write each number: the schema says the same.
        const bool padded = value->size() > 1 && value->front() == '0';
        if (error != std::errc{} || after != end || padded || parsed < least || parsed > most) {
            wrong(name, "is " + in_quotes(*value) + "; it must be a whole number from " +
                            std::to_string(least) + " to " + std::to_string(most));
            return std::nullopt;
        }
        return parsed;
    }

    std::optional<bool> on_off(std::string_view name) {
        const std::string *value = text(name);
        if (value == nullptr)
            return std::nullopt;
        if (*value != "on" && *value != "off") {
            wrong(name, "is " + in_quotes(*value) + "; it must be on or off");
            return std::nullopt;
        }
        return *value == "on";
    }

  private:
    template <typename T, typename Parse>
    std::optional<T> number(std::string_view name, const Parse &parse) {
        const std::string *value = text(name);
        if (value == nullptr)
            return std::nullopt;
        const char second = value->size() > 1 ? (*value)[1] : '\0';
        if (value->starts_with('0') && second >= '0' && second <= '9') {
            wrong(name, "is " + in_quotes(*value) + "; it must not begin with a zero");
            return std::nullopt;
        }
        const auto parsed = parse(*value);
        if (!parsed) {
            wrong(name, parsed.error().sentence);
            return std::nullopt;
        }
        return *parsed;
    }

    std::string where_, tag_;
    Problems &problems_;
    std::vector<xml::Attribute> all_;
};

void must_not_be_zero(Attributes &attributes, std::string_view name, bool zero) {
    if (zero)
        attributes.wrong(name, "is '0'; it must be more than 0");
}

void must_be_empty(const xml::Element &element, Problems &problems) {
    if (!element.children().empty() || !element.text().empty())
        problems.push_back(at_line(element) + "<" + element.name() +
                           "> has something in it; it must be empty");
}

Affinity read_affinity(const xml::Element &element, Problems &problems) {
    Attributes attributes(element, problems, {"group", "service"});
    must_be_empty(element, problems);
    if (attributes.has("group") == attributes.has("service")) {
        if (attributes.has("group"))
            attributes.problem("<affinity> has both group and service; it must have one of them");
        else
            attributes.problem("<affinity> has neither group nor service; it must have one");
        return {};
    }
    if (const auto service = attributes.name("service"))
        return {Affinity::Kind::service, *service};
    if (const auto group = attributes.name("group")) {
        const auto uuid = normal_uuid(*group);
        return {Affinity::Kind::group, uuid ? *uuid : *group};
    }
    return {};
}

std::string read_path(Attributes &attributes) {
    const std::string &path = *attributes.text("path");
    const bool plain = std::none_of(path.begin(), path.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    if (!path.starts_with('/') || path.size() > kPathMost || !plain) {
        attributes.wrong("path", "is " + in_quotes(path) +
                                     "; it must be an absolute path of at most 1024 bytes");
        return {};
    }
    return path;
}

TierElement read_tier(const xml::Element &element, Problems &problems) {
    Attributes attributes(element, problems, {"name", "class", "path", "capacity", "write-budget"});
    must_be_empty(element, problems);
    TierElement tier;
    tier.capacity = attributes.size("capacity");
    must_not_be_zero(attributes, "capacity", tier.capacity && *tier.capacity == 0);
    tier.write_budget = attributes.size("write-budget");
    const bool by_name = attributes.has("name");
    const bool by_itself = attributes.has("class") && attributes.has("path");
    if (by_name ? attributes.has("class") || attributes.has("path") : !by_itself) {
        attributes.problem("<tier> must have either name (a tier of the host) or class and path");
        return tier;
    }
    if (by_name) {
        tier.name = attributes.name("name").value_or("");
        return tier;
    }
    const std::string &klass = *attributes.text("class");
    if (const auto parsed = parse_tier_class(klass))
        tier.tier_class = *parsed;
    else
        attributes.wrong("class", "is " + in_quotes(klass) + "; it must be nvme or qlc");
    tier.path = read_path(attributes);
    return tier;
}

Policy read_policy(const xml::Element &element, Problems &problems) {
    Attributes attributes(
        element, problems,
        {"eviction", "prefetch", "window", "cold", "slowdown", "learn", "reuse", "learn-writes"});
    must_be_empty(element, problems);
    Policy policy;
    if (const std::string *eviction = attributes.text("eviction")) {
        policy.eviction = parse_eviction(*eviction);
        if (!policy.eviction)
            attributes.wrong("eviction",
                             "is " + in_quotes(*eviction) + "; it must be lru, lfu or fifo");
    }
    policy.prefetch = attributes.on_off("prefetch");
    policy.window = attributes.count("window", 1, kWindowMost);
    policy.cold = attributes.count("cold", 1, kColdMost);
    policy.slowdown = attributes.count("slowdown", 0, kSlowdownMost);
    policy.learn = attributes.on_off("learn");
    policy.reuse = attributes.on_off("reuse");
    policy.learn_writes = attributes.on_off("learn-writes");
    return policy;
}

void read_label(const xml::Element &element, DomainElement &into, Problems &problems) {
    const Attributes attributes(element, problems, {});
    const std::string text = element.text();
    if (!element.children().empty())
        problems.push_back(at_line(element) + "<label> has an element in it; it must be text");
    else if (text.empty() || text.size() > kLabelMost)
        problems.push_back(at_line(element) + "<label> is " + in_quotes(text) +
                           "; it must be a text of 1 to 128 bytes");
    else
        into.labels.push_back(text);
}

class Children {
  public:
    Children(const xml::Element &parent, DomainElement &into, Problems &problems)
        : ns_(parent.ns()), into_(into), problems_(problems) {}

    void read(const xml::Element &child) {
        const std::string name = child.name();
        if (child.ns() != ns_)
            problems_.push_back(
                at_line(child) + "<" + name + "> within <memory> is not in the " +
                (ns_.empty() ? "same namespace as it" : "namespace " + std::string(kNamespace)) +
                "; give it the same prefix as <memory>");
        else if (name == "affinity")
            once(child, affinity_seen_, [&] { into_.affinity = read_affinity(child, problems_); });
        else if (name == "policy")
            once(child, policy_seen_, [&] { into_.policy = read_policy(child, problems_); });
        else if (name == "tier")
            at_most(child, into_.tiers.size(), kTiersMost,
                    [&] { into_.tiers.push_back(read_tier(child, problems_)); });
        else if (name == "label")
            at_most(child, into_.labels.size(), kLabelsMost,
                    [&] { read_label(child, into_, problems_); });
        else
            problems_.push_back(at_line(child) + "<memory> has no element " + in_quotes(name) +
                                "; it has affinity, tier, policy and label");
    }

  private:
    template <typename Read> void once(const xml::Element &child, bool &seen, const Read &read) {
        if (seen)
            problems_.push_back(at_line(child) + "<" + child.name() +
                                "> is there twice; it must be there at most once");
        else
            read();
        seen = true;
    }
    template <typename Read>
    void at_most(const xml::Element &child, std::size_t have, std::size_t most, const Read &read) {
        if (have < most)
            return read();
        if (!too_many_) // once, however many there are
            problems_.push_back(at_line(child) + "<memory> has more than " + std::to_string(most) +
                                " <" + child.name() + ">; it must have at most " +
                                std::to_string(most));
        too_many_ = true;
    }

    std::string ns_;
    DomainElement &into_;
    Problems &problems_;
    bool affinity_seen_ = false, policy_seen_ = false, too_many_ = false;
};

} // namespace

std::string at_line(const xml::Element &element) {
    return "line " + std::to_string(element.line()) + ": ";
}

std::optional<DomainElement> read_element(const xml::Element &element, Problems &problems) {
    const auto mode = element.attribute("mode");
    if (mode == "off")
        return std::nullopt;
    Attributes attributes(element, problems, {"mode", "dram", "floor", "priority"});
    if (mode && *mode != "tiered")
        attributes.wrong("mode", "is " + in_quotes(*mode) + "; it must be tiered or off");

    DomainElement read;
    read.dram = attributes.amount("dram");
    must_not_be_zero(attributes, "dram", read.dram && read.dram->value == 0);
    read.floor = attributes.amount("floor");
    must_not_be_zero(attributes, "floor", read.floor && read.floor->value == 0);
    read.priority = attributes.count("priority", 1, kPriorityMost);

    if (!element.own_text().empty())
        attributes.problem("<memory> has the text " + in_quotes(element.own_text()) +
                           " in it; it has elements only");
    Children children(element, read, problems);
    for (const xml::Element &child : element.children())
        children.read(child);
    return read;
}

} // namespace tidemark::domain
