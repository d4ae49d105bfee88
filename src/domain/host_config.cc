// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/host_config.h"

#include "domain/domain.h"
#include "domain/toml_section.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

namespace tidemark::domain {

namespace {

constexpr std::size_t kFileMost = 1U << 20;

struct Reading {
    const toml::table &file;
    std::string source;
    HostConfig config;
    Problems problems;

    TomlSection section(const std::string &key, const std::vector<std::string> &known) {
        return {toml_table(file, key, source, problems), "[" + key + "]", source, known, problems};
    }
};

// The sections there are; anything else at the top is a slip.
void read_top(Reading &reading) {
    const std::vector<std::string> known{"paths", "daemon", "api",  "libvirt",
                                         "host",  "tier",   "rule", "defaults"};
    const TomlSection top(reading.file, "the file", reading.source, known, reading.problems);
}

void read_paths(Reading &reading) {
    auto paths = reading.section("paths", {"run", "state"});
    paths.absolute_path("run", reading.config.run_dir);
    paths.absolute_path("state", reading.config.state_dir);
    // Sockets in it must fit into a sockaddr_un of 108 bytes.
    if (reading.config.run_dir.size() > 90)
        paths.wrong("run", "has " + std::to_string(reading.config.run_dir.size()) +
                               " bytes; it must have at most 90");
}

void read_daemon(Reading &reading) {
    auto daemon = reading.section("daemon", {"when_down", "api_group", "log_level"});
    if (const auto word = daemon.word("when_down", {"start", "refuse"}))
        reading.config.when_down = static_cast<WhenDown>(*word);
    daemon.text("api_group", reading.config.api_group);
    if (const auto word = daemon.word("log_level", {"debug", "info", "warn", "error"}))
        reading.config.log_level = static_cast<LogLevel>(*word);
}

// "address:port", "[::1]:port"
bool is_endpoint(const std::string &text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0 || text.size() > 256)
        return false;
    const std::string port = text.substr(colon + 1);
    const bool digits =
        !port.empty() && port.size() <= 5 &&
        std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
    return digits && std::stoul(port) >= 1 && std::stoul(port) <= 65535;
}

void read_api(Reading &reading) {
    HostConfig &config = reading.config;
    auto api = reading.section("api", {"tcp", "cert", "key", "client_ca"});
    api.text("tcp", config.tcp);
    api.absolute_path("cert", config.cert);
    api.absolute_path("key", config.key);
    api.absolute_path("client_ca", config.client_ca);
    if (!config.tcp.empty() && !is_endpoint(config.tcp))
        api.wrong("tcp", "is " + in_quotes(config.tcp) +
                             "; it must be an address and a port, such as \"0.0.0.0:9443\"");
    if (!api.has("tcp"))
        return;
    for (const char *key : {"cert", "key", "client_ca"})
        if (!api.has(key))
            api.missing(key, "\"/etc/tidemark/" + std::string(key) +
                                 ".pem\" (tcp is served with mutual TLS only)");
}

void read_libvirt(Reading &reading) {
    reading.section("libvirt", {"uri"}).text("uri", reading.config.libvirt_uri, true);
}

void read_tiers(Reading &reading) {
    for (const toml::table *table :
         toml_tables(reading.file, "tier", kHostTiersMost, reading.source, reading.problems)) {
        TomlSection section(*table, "[[tier]]", reading.source,
                            {"name", "class", "path", "capacity", "write_budget"},
                            reading.problems);
        HostTier tier;
        for (const auto &[key, example] : {std::pair{"name", "\"fast\""},
                                           {"class", "\"nvme\""},
                                           {"path", "\"/var/lib/tidemark/nvme\""}})
            if (!section.has(key))
                section.missing(key, example);
        section.name("name", tier.name);
        if (const auto word = section.word("class", {"nvme", "qlc"}))
            tier.tier_class = static_cast<TierClass>(*word);
        section.absolute_path("path", tier.path);
        section.size("capacity", tier.capacity);
        if (tier.capacity && *tier.capacity < (64U << 20))
            section.wrong("capacity",
                          "is " + size_text(*tier.capacity) + "; it must be at least 64MiB");
        std::optional<std::uint64_t> budget;
        section.size("write_budget", budget);
        tier.write_budget = budget.value_or(0);
        for (const HostTier &other : reading.config.tiers) {
            if (!tier.name.empty() && other.name == tier.name)
                section.wrong("name", "is " + in_quotes(tier.name) +
                                          ", as that of another; each must be different");
            if (!tier.path.empty() && other.path == tier.path)
                section.wrong("path", "is " + in_quotes(tier.path) +
                                          ", as that of another; each must be different");
        }
        reading.config.tiers.push_back(std::move(tier));
    }
}

void read_rules(Reading &reading) {
    for (const toml::table *table :
         toml_tables(reading.file, "rule", kRulesMost, reading.source, reading.problems)) {
        TomlSection section(*table, "[[rule]]", reading.source,
                            {"match_name", "match_title", "match_label", "service"},
                            reading.problems);
        Rule rule;
        section.text("match_name", rule.match_name);
        section.text("match_title", rule.match_title);
        section.text("match_label", rule.match_label);
        section.name("service", rule.service);
        if (!section.has("service"))
            section.missing("service", "\"web\"");
        if (!section.has("match_name") && !section.has("match_title") &&
            !section.has("match_label"))
            section.missing("match_name, match_title or match_label", "\"web-*\"");
        reading.config.rules.push_back(std::move(rule));
    }
}

void read_defaults(Reading &reading) {
    auto section =
        reading.section("defaults", {"dram", "floor", "priority", "eviction", "prefetch", "window",
                                     "cold", "slowdown", "learn", "reuse", "learn_writes"});
    HostConfig &config = reading.config;
    section.amount("dram", config.default_dram);
    section.amount("floor", config.default_floor);
    std::optional<std::uint32_t> priority;
    section.count("priority", 1, kPriorityMost, priority);
    config.priority = priority.value_or(kPriorityDefault);
    if (const auto word = section.word("eviction", {"lru", "lfu", "fifo"}))
        config.policy.eviction = static_cast<Eviction>(*word);
    section.boolean("prefetch", config.policy.prefetch);
    section.count("window", 1, kWindowMost, config.policy.window);
    section.count("cold", 1, kColdMost, config.policy.cold);
    section.count("slowdown", 0, kSlowdownMost, config.policy.slowdown);
    section.boolean("learn", config.policy.learn);
    section.boolean("reuse", config.policy.reuse);
    section.boolean("learn_writes", config.policy.learn_writes);
}

void read_host(Reading &reading) {
    auto host = reading.section("host", {"dram"});
    std::optional<Amount> dram;
    host.amount("dram", dram);
    reading.config.dram = dram.value_or(reading.config.dram);
}

Result<std::string> read_file(const std::string &path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(errno, path + " cannot be opened: " + std::strerror(errno));
    std::string text(kFileMost + 1, '\0');
    std::size_t have = 0;
    ssize_t got = 0;
    while (have < text.size() && ((got = ::read(fd, text.data() + have, text.size() - have)) > 0 ||
                                  (got < 0 && errno == EINTR)))
        have += got > 0 ? static_cast<std::size_t>(got) : 0;
    const int error = got < 0 ? errno : 0;
    ::close(fd);
    if (error != 0)
        return fail(error, path + " cannot be read: " + std::strerror(error));
    if (have > kFileMost)
        return fail(EFBIG, path + " is larger than " + size_text(kFileMost));
    text.resize(have);
    return text;
}

} // namespace

bool Rule::matches(std::string_view name, std::string_view title,
                   const std::vector<std::string> &labels) const {
    const auto fits = [](const std::string &pattern, std::string_view text) {
        return ::fnmatch(pattern.c_str(), std::string(text).c_str(), 0) == 0;
    };
    if (!match_name.empty() && !fits(match_name, name))
        return false;
    if (!match_title.empty() && !fits(match_title, title))
        return false;
    return match_label.empty() ||
           std::any_of(labels.begin(), labels.end(),
                       [&](const std::string &label) { return fits(match_label, label); });
}

const HostTier *HostConfig::find_tier(std::string_view name) const {
    for (const HostTier &tier : tiers)
        if (tier.name == name)
            return &tier;
    return nullptr;
}

std::string HostConfig::domain_file(std::string_view uuid) const {
    return domains_dir() + "/" + std::string(uuid) + ".json";
}

Result<HostConfig> parse_config(std::string_view text, const std::string &source) {
    toml::table file;
    try {
        file = toml::parse(text, source);
    } catch (const toml::parse_error &error) {
        return fail(EINVAL, source + " line " + std::to_string(error.source().begin.line) + ": " +
                                std::string(error.description()));
    }
    Reading reading{file, source, {}, {}};
    reading.config.source = source;
    read_top(reading);
    read_paths(reading);
    read_daemon(reading);
    read_api(reading);
    read_libvirt(reading);
    read_host(reading);
    read_tiers(reading);
    read_rules(reading);
    read_defaults(reading);
    if (!reading.problems.empty())
        return tl::unexpected(as_error(reading.problems));
    return std::move(reading.config);
}

Result<HostConfig> load_config(const std::string &path) {
    HostConfig config;
    auto text = read_file(path.empty() ? kDefaultConfigPath : path);
    if (!text && (text.error().code != ENOENT || !path.empty()))
        return tl::unexpected(text.error());
    if (text) {
        auto parsed = parse_config(*text, path.empty() ? kDefaultConfigPath : path);
        if (!parsed)
            return parsed;
        config = std::move(*parsed);
    }
    // The same variable tells QEMU.
    if (const char *run = std::getenv("TIDEMARK_RUN"); run != nullptr && *run != '\0')
        config.run_dir = run;
    // As libvirt's own tools choose.
    if (const char *uri = std::getenv("LIBVIRT_DEFAULT_URI"); uri != nullptr)
        config.libvirt_uri = uri;
    return config;
}

} // namespace tidemark::domain
