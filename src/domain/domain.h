// SPDX-License-Identifier: GPL-2.0-or-later
//
// A libvirt domain as far as Tidemark needs it, and the one element of ours in its metadata.
#pragma once

#include "base/result.h"
#include "domain/policy.h"
#include "domain/size.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::domain {

inline constexpr const char *kNamespace = "urn:tidemark:domain:1";
inline constexpr std::size_t kXmlMost = 1U << 20; // bytes
inline constexpr std::size_t kTiersMost = 8;
inline constexpr std::size_t kLabelsMost = 32;
inline constexpr std::size_t kLabelMost = 128; // bytes
inline constexpr std::size_t kNameMost = 64;   // bytes of a group's, service's or tier's name

struct Affinity {
    enum class Kind : std::uint8_t { none, group, service };
    Kind kind = Kind::none;
    std::string name; // of a group: a name or a UUID
    bool operator==(const Affinity &) const = default;
};

// <tier>: one of the host's by name, or one by itself (class and path).
struct TierElement {
    std::string name; // empty: by itself
    TierClass tier_class = TierClass::nvme;
    std::string path;
    std::optional<std::uint64_t> capacity, write_budget;
    bool operator==(const TierElement &) const = default;
};

// <tidemark:memory mode='tiered'>
struct DomainElement {
    std::optional<Amount> dram, floor;
    std::optional<std::uint32_t> priority;
    Affinity affinity;
    std::vector<TierElement> tiers;
    Policy policy;
    std::vector<std::string> labels;
    bool operator==(const DomainElement &) const = default;
};

struct Domain {
    std::string uuid; // lower case, with dashes
    std::string name;
    std::string title;
    std::uint64_t memory = 0;     // bytes at start, DIMMs included
    std::uint64_t current = 0;    // bytes that the balloon leaves
    std::uint64_t max_memory = 0; // bytes with all that can be plugged; `memory` if none can
    // Why the memory cannot be tiered, a sentence each; empty: it can.
    std::vector<std::string> obstacles;
    std::string dac_label; // user:group of a static DAC label; empty: libvirt's default
    std::string emulator;  // path of QEMU; empty: libvirt's default
    // Not there: this domain is not ours (no element, or mode='off').
    std::optional<DomainElement> element;
};

// What parsing found. With problems, `domain` holds what could be read.
struct Parsed {
    Domain domain;
    bool off = false;                  // it has an element, with mode='off'
    std::vector<std::string> problems; // one sentence each
};

// A whole <domain>. No network, no entities, no document type, at most kXmlMost bytes.
// An element that is off is not looked into.
Parsed parse_domain(std::string_view xml);

// Our element alone, as virDomainGetMetadata() (which strips prefixes) or a file has it.
// No element in the result: mode='off'.
struct ParsedElement {
    std::optional<DomainElement> element;
    std::vector<std::string> problems;
};
ParsedElement parse_element(std::string_view xml);

// Whether our namespace occurs at all: a domain in whose text it does not is none of our business.
bool mentions_us(std::string_view xml);

// "a", "a; b": the problems as one error.
Error as_error(const std::vector<std::string> &problems);

// What the hook tells the daemon of a domain (the body of /domains/{uuid}/prepare).
nlohmann::json to_json(const Domain &domain);
std::string to_json_text(const Domain &domain);
Result<Domain> domain_from_json(std::string_view text);

} // namespace tidemark::domain
