// SPDX-License-Identifier: GPL-2.0-or-later
//
// tidemark.toml: what the host offers and how its programs behave. Everything in it is optional.
#pragma once

#include "base/result.h"
#include "domain/policy.h"
#include "domain/size.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::domain {

inline constexpr const char *kDefaultConfigPath = "/etc/tidemark/tidemark.toml";
inline constexpr const char *kDefaultRunDir = "/run/tidemark";
inline constexpr const char *kDefaultStateDir = "/var/lib/tidemark";
inline constexpr std::size_t kHostTiersMost = 16;
inline constexpr std::size_t kRulesMost = 1000;

// [[tier]]: a directory or block device of the host, that domains name or get.
struct HostTier {
    std::string name; // unique
    TierClass tier_class = TierClass::nvme;
    std::string path;                      // absolute
    std::optional<std::uint64_t> capacity; // bytes for all guests together
    std::uint64_t write_budget =
        0; // bytes a day of each guest for what need not be written; 0: no bound
};

// [[rule]]: a domain that matches every given pattern, and names no group itself, is of that service.
// Patterns are shell's: * ? [a-z].
struct Rule {
    std::string match_name, match_title, match_label; // empty: not asked
    std::string service;
    bool matches(std::string_view name, std::string_view title,
                 const std::vector<std::string> &labels) const;
};

enum class WhenDown : std::uint8_t { start, refuse };
enum class LogLevel : std::uint8_t { debug, info, warn, error };

struct HostConfig {
    std::string source; // the file read; empty: none

    // [paths]
    std::string run_dir = kDefaultRunDir;
    std::string state_dir = kDefaultStateDir;
    // [daemon]
    WhenDown when_down = WhenDown::start;
    std::string api_group; // group that may use the API's socket; empty: root only
    LogLevel log_level = LogLevel::info;
    // [api] for TCP with mutual TLS; all four or none
    std::string tcp, cert, key, client_ca; // tcp is "address:port"
    // [libvirt]
    std::string libvirt_uri = "qemu:///system"; // empty: there is no libvirt to follow
    // [host]
    Amount dram = Amount::percent(75); // of MemTotal, for all guests
    std::vector<HostTier> tiers;
    std::vector<Rule> rules;
    // [defaults] for domains that do not say
    Policy policy;
    std::optional<Amount> default_dram;  // default 100%
    std::optional<Amount> default_floor; // default 10%, at most the limit
    std::uint32_t priority = kPriorityDefault;

    const HostTier *find_tier(std::string_view name) const;
    std::string api_socket() const { return run_dir + "/api.sock"; }
    std::string vm_socket() const { return run_dir + "/vm.sock"; }
    std::string domains_dir() const { return run_dir + "/domains"; }
    std::string domain_file(std::string_view uuid) const;
    std::string database() const { return state_dir + "/tidemark.db"; }
};

// `source` is named in sentences: "/etc/tidemark/tidemark.toml line 7: ...".
Result<HostConfig> parse_config(std::string_view text, const std::string &source);

// Reads `path`; if that is empty, the default file, which need not exist. The environment's
// TIDEMARK_RUN goes before [paths] run, LIBVIRT_DEFAULT_URI before [libvirt] uri.
Result<HostConfig> load_config(const std::string &path = {});

} // namespace tidemark::domain
