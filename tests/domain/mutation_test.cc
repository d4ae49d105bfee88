// SPDX-License-Identifier: GPL-2.0-or-later
//
// Parsers never crash, hang or contradict themselves on damaged input. Seeded: a failure comes again
// with the seed that it prints. TIDEMARK_FUZZ_ROUNDS and TIDEMARK_FUZZ_SEED change how much and what.
#include "support.h"

#include <cstdlib>
#include <random>

using namespace tidemark::domain;
using namespace tidemark::domain::test;

namespace {

const std::string kDomain = domain_xml(
    element("mode='tiered' dram='25%' floor='512MiB' priority='7'",
            "<t:affinity group='db'/><t:tier name='fast' capacity='8GiB' write-budget='0'/>"
            "<t:tier class='qlc' path='/mnt/x' capacity='1T'/><t:policy eviction='lfu' "
            "prefetch='off' window='3600' cold='172800' slowdown='0'/><t:label>x</t:label>"),
    "<memoryBacking><hugepages/><source type='memfd'/></memoryBacking>"
    "<cpu><numa><cell id='0' memAccess='shared'/></numa></cpu><devices><memory model='dimm'/>"
    "</devices>");
const std::string kConfig = "[paths]\nrun='/r'\n[daemon]\nwhen_down='start'\n[host]\ndram='50%'\n"
                            "[[tier]]\nname='a'\nclass='nvme'\npath='/a'\ncapacity='1TiB'\n"
                            "[[rule]]\nmatch_name='w*'\nservice='w'\n[defaults]\ncold=5\n";
const char *const kPieces[] = {
    "'",    "\"",           "<",  ">", "</",    "&lt;", "&#0;",   "&x;",
    "<!--", "]]",           "0",  "-", "%",     "GiB",  "999999", "=",
    "[[",   "\n",           "{",  "}", "\xff",  ",",    "null",   "[",
    "1e99", "<!DOCTYPE a>", "t:", "]", "xmlns", "\\",   "\\u00",  "<t:tier/>"};

unsigned long from_environment(const char *name, unsigned long otherwise) {
    const char *value = std::getenv(name);
    return value == nullptr ? otherwise : std::strtoul(value, nullptr, 10);
}

// Cuts, doubles, moves, flips and inserts, a few times each.
std::string damaged(const std::string &good, std::mt19937_64 &random) {
    std::string text = good;
    const auto below = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
        const std::size_t at = below(text.size()), length = below(40);
        switch (below(5)) {
        case 0:
            text.erase(at, length);
            break;
        case 1:
            text.insert(at, text.substr(below(text.size()), length));
            break;
        case 2:
            if (!text.empty())
                text[at] = static_cast<char>(random());
            break;
        case 3:
            text.insert(at, kPieces[below(std::size(kPieces))]);
            break;
        default:
            text.replace(at, length, text.substr(below(text.size()), below(40)));
        }
    }
    return text;
}

template <typename Check> void many_times(const std::string &good, const Check &check) {
    const unsigned long seed = from_environment("TIDEMARK_FUZZ_SEED", 20261122);
    const unsigned long rounds = from_environment("TIDEMARK_FUZZ_ROUNDS", 3000);
    unsigned long accepted = 0;
    for (unsigned long round = 0; round < rounds; ++round) {
        std::mt19937_64 random(seed + round);
        const std::string text = damaged(good, random);
        INFO("TIDEMARK_FUZZ_SEED=" << seed + round << " TIDEMARK_FUZZ_ROUNDS=1");
        accepted += check(text) ? 1 : 0;
    }
    // Both ways must have been taken, or nothing was tried.
    if (rounds >= 1000) {
        CHECK(accepted > 0);
        CHECK(accepted < rounds);
    }
}

} // namespace

TEST_CASE("damaged domains are parsed, or refused with sentences") {
    const HostConfig host = host_with_tiers();
    many_times(kDomain, [&](const std::string &text) {
        const Parsed parsed = parse_domain(text);
        for (const std::string &problem : parsed.problems) {
            REQUIRE(!problem.empty());
            REQUIRE(problem.size() < 2000);
        }
        if (!parsed.problems.empty() || !parsed.domain.element)
            return false;
        // What the parser accepts survives the way to the daemon, and is resolved or refused.
        if (!parsed.domain.uuid.empty() && !parsed.domain.name.empty() && parsed.domain.memory != 0)
            REQUIRE(domain_from_json(to_json_text(parsed.domain)).value().element ==
                    parsed.domain.element);
        Domain domain = parsed.domain;
        domain.obstacles.clear();
        if (const auto resolved = resolve(domain, host)) {
            REQUIRE(resolved->dram_floor <= resolved->dram_limit);
            REQUIRE(resolved->dram_limit <= resolved->memory);
            REQUIRE(!resolved->tiers.empty());
        }
        return true;
    });
}

TEST_CASE("damaged configurations are read, or refused with a sentence") {
    many_times(kConfig, [](const std::string &text) {
        const auto config = parse_config(text, "t.toml");
        if (!config)
            REQUIRE(config.error().sentence.starts_with("t.toml line "));
        return config.has_value();
    });
}

TEST_CASE("damaged answers of the daemon are read, or refused with a sentence") {
    const HostConfig host = host_with_tiers();
    Domain domain = parse_domain(kDomain).domain;
    domain.obstacles.clear();
    domain.element->tiers.pop_back();
    domain.element->tiers.front().capacity = 4ULL << 30;
    const auto resolved = resolve(domain, host);
    REQUIRE(resolved);
    many_times(to_json_text(*resolved), [](const std::string &text) {
        const auto read = resolved_from_json(text);
        if (!read) {
            REQUIRE(!read.error().sentence.empty());
            return false;
        }
        // Writing what was read gives the same again.
        REQUIRE(resolved_from_json(to_json_text(*read)).value() == *read);
        return true;
    });
}
