// SPDX-License-Identifier: GPL-2.0-or-later
#include "support.h"

#include "domain/group_id.h"

using namespace tidemark::domain;
using namespace tidemark::domain::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kGiB = 1ULL << 30;

Domain parsed(const std::string &element) {
    Parsed result = parse_domain(domain_xml(element));
    CAPTURE(result.problems);
    REQUIRE(result.problems.empty());
    REQUIRE(result.domain.element);
    return result.domain;
}

ResolvedDomain resolved(const std::string &element, const HostConfig &host = host_with_tiers()) {
    const auto result = resolve(parsed(element), host);
    if (!result)
        FAIL(result.error().sentence);
    return *result;
}

std::string refused(const std::string &element, const HostConfig &host = host_with_tiers()) {
    const auto result = resolve(parsed(element), host);
    REQUIRE(!result);
    return result.error().sentence;
}

} // namespace

TEST_CASE("an element that says nothing gets all tiers, and all of its memory in DRAM") {
    const ResolvedDomain domain = resolved(element(""));
    CHECK(domain.uuid == "5b1f1c4e-8f6c-4a0e-9d0a-0c5b6f0f7a01");
    CHECK(domain.memory == 4 * kGiB);
    CHECK(domain.dram_limit == 4 * kGiB);
    CHECK(domain.dram_floor == 410 * kMiB); // 10 %, in whole regions
    CHECK(domain.priority == 100);
    CHECK(domain.qmp == "/run/tidemark/vm.sock");
    REQUIRE(domain.tiers.size() == 2);
    // Twice the memory would be 8 GiB, but all of this tier is 6.
    CHECK(domain.tiers[0] == ResolvedTier{"/fast", TierClass::nvme, 6 * kGiB, kGiB});
    CHECK(domain.tiers[1] == ResolvedTier{"/big", TierClass::qlc, 8 * kGiB, 0});
    CHECK(domain.group.empty());
    CHECK(domain.policy == Policy{});
}

TEST_CASE("the domain goes before the host, the host before nothing") {
    HostConfig host = host_with_tiers();
    host.default_dram = Amount::percent(50);
    host.default_floor = Amount::bytes(kGiB);
    host.priority = 7;
    host.policy.cold = 60;
    host.policy.prefetch = false;
    const ResolvedDomain theirs = resolved(element(""), host);
    CHECK(theirs.dram_limit == 2 * kGiB);
    CHECK(theirs.dram_floor == kGiB);
    CHECK(theirs.priority == 7);
    CHECK(theirs.policy == host.policy);
    const ResolvedDomain own =
        resolved(element("dram='1GiB' floor='25%' priority='9'", "<t:policy cold='5'/>"), host);
    CHECK(own.dram_limit == kGiB);
    CHECK(own.dram_floor == kGiB);
    CHECK(own.priority == 9);
    CHECK(own.policy.cold == 5U);
    CHECK(own.policy.prefetch == false);
    // A default in bytes is for guests of any size.
    host.default_dram = Amount::bytes(100 * kGiB);
    host.default_floor = Amount::bytes(50 * kGiB);
    CHECK(resolved(element(""), host).dram_limit == 4 * kGiB);
    CHECK(resolved(element(""), host).dram_floor == 4 * kGiB);
}

TEST_CASE("limit and floor are whole regions, at least 16 MiB, and fit into each other") {
    CHECK(resolved(element("dram='33%'")).dram_limit == 1352 * kMiB);
    CHECK(resolved(element("dram='1000000000'")).dram_limit == 954 * kMiB);
    CHECK(resolved(element("floor='1'")).dram_floor == 16 * kMiB);
    CHECK(resolved(element("dram='16MiB'")).dram_floor == 16 * kMiB);
    CHECK_THAT(refused(element("dram='13M'", "<t:tier name='big'/>")),
               ContainsSubstring("dram of <memory> is '13MiB'") &&
                   ContainsSubstring("at least 16 MiB"));
    CHECK(refused(element("dram='5GiB'")) ==
          "dram of <memory> is '5GiB', but the domain's memory is only 4 GiB; it must be at most "
          "that");
    CHECK(refused(element("dram='25%' floor='2GiB'")) ==
          "floor of <memory> is '2GiB', which is more than dram, 1 GiB; it must be at most that");
}

TEST_CASE("tiers are the host's by name, or the domain's own") {
    const ResolvedDomain domain =
        resolved(element("dram='25%'", "<t:tier name='big' capacity='3GiB' write-budget='5MiB'/>"
                                       "<t:tier class='nvme' path='/own' capacity='1000000000'/>"
                                       "<t:tier class='qlc' path='/other'/>"));
    REQUIRE(domain.tiers.size() == 3);
    CHECK(domain.tiers[0] == ResolvedTier{"/big", TierClass::qlc, 3 * kGiB, 5 * kMiB});
    CHECK(domain.tiers[1] == ResolvedTier{"/own", TierClass::nvme, 954 * kMiB, 0});
    CHECK(domain.tiers[2] == ResolvedTier{"/other", TierClass::qlc, 8 * kGiB, 0});
    CHECK(refused(element("", "<t:tier name='slow'/>")) ==
          "name of <tier> is 'slow', but this host has only 'fast' and 'big'");
    CHECK_THAT(refused(element("", "<t:tier name='fast' capacity='7GiB'/>")),
               ContainsSubstring("all of that tier is only 6 GiB"));
    CHECK_THAT(refused(element("", "<t:tier name='fast'/><t:tier name='fast'/>")),
               ContainsSubstring("two tiers of the domain are at '/fast'"));
    CHECK_THAT(refused(element("", "<t:tier class='qlc' path='/x' capacity='16TiB'/>")),
               ContainsSubstring("less than 16 TiB"));
    CHECK_THAT(
        refused(element("dram='25%'", "<t:tier name='big' capacity='1GiB'/>")),
        ContainsSubstring("the tiers hold 1 GiB together, but memory minus floor is 3686 MiB"));
    CHECK(resolved(element("dram='3GiB' floor='3GiB'", "<t:tier name='big' capacity='1GiB'/>"))
              .tiers[0]
              .capacity == kGiB);
}

TEST_CASE("without any tier there is nowhere to go") {
    CHECK(refused(element(""), HostConfig{}) ==
          "there is no tier to keep memory in: give the domain a <tier>, or the host a [[tier]] in "
          "/etc/tidemark/tidemark.toml");
    CHECK_THAT(refused(element("", "<t:tier name='a'/>"), HostConfig{}),
               ContainsSubstring("this host has no [[tier]]"));
    HostConfig many;
    for (int i = 0; i < 9; ++i)
        many.tiers.push_back(
            {"t" + std::to_string(i), TierClass::nvme, "/" + std::to_string(i), std::nullopt, 0});
    CHECK_THAT(refused(element(""), many), ContainsSubstring("the host has 9 tiers"));
    CHECK(resolved(element("", "<t:tier name='t8'/>"), many).tiers[0].path == "/8");
}

TEST_CASE("a group's id follows from its name, everywhere and for ever") {
    // As computed by Python's uuid.uuid5().
    CHECK(group_id("web") == "b3ffd0eb-fee0-522a-a55e-7cc309adcafe");
    CHECK(service_id("web") == "28468a6b-bb5c-52fa-9cc6-a3a619e6a144");
    const ResolvedDomain named = resolved(element("", "<t:affinity group='web'/>"));
    CHECK(named.group == group_id("web"));
    CHECK(named.group_name == "web");
    CHECK(named.service.empty());
    const ResolvedDomain by_id =
        resolved(element("", "<t:affinity group='7C0E5A4E-2f0b-4a3e-9d59-1f4a0d6b8c11'/>"));
    CHECK(by_id.group == "7c0e5a4e-2f0b-4a3e-9d59-1f4a0d6b8c11");
    CHECK(by_id.group_name.empty());
    const ResolvedDomain service = resolved(element("", "<t:affinity service='web'/>"));
    CHECK(service.group == service_id("web"));
    CHECK(service.service == "web");
}

TEST_CASE("a rule of the host gives a service to those that name nothing") {
    HostConfig host = host_with_tiers();
    host.rules = {{"", "", "no-*", "never"},
                  {"", "", "prod*", "by-label"},
                  {"web-*", "", "", "by-name"},
                  {"", "shop", "", "by-title"}};
    CHECK(resolved(element(""), host).service == "by-name");
    CHECK(resolved(element(""), host).group == service_id("by-name"));
    CHECK(resolved(element("", "<t:label>production</t:label>"), host).service == "by-label");
    CHECK(resolved(element("", "<t:affinity group='own'/>"), host).group == group_id("own"));
    CHECK(resolved(element("", "<t:affinity group='own'/>"), host).service.empty());
    CHECK(resolved(element("", "<t:affinity service='own'/>"), host).service == "own");
    host.rules.erase(host.rules.begin() + 1, host.rules.begin() + 3);
    CHECK(resolved(element(""), host).service == "by-title");
}

TEST_CASE("names and UUIDs have one form") {
    for (const char *name : {"a", "Web-1", "0", "a.b_c-d"})
        CHECK(valid_name(name));
    CHECK(valid_name(std::string(64, 'x')));
    for (const char *name : {"", "-a", ".a", "a b", "a/b", "\xc3\xa4", "a\n"})
        CHECK(!valid_name(name));
    CHECK(!valid_name(std::string(65, 'x')));
    CHECK(!normal_uuid("7c0e5a4e2f0b4a3e9d591f4a0d6b8c11"));
    CHECK(!normal_uuid("7c0e5a4e-2f0b-4a3e-9d59-1f4a0d6b8c1"));
    CHECK(!normal_uuid(std::string(36, 'x')));
}

TEST_CASE("validate says what would stop the start, and nothing else") {
    const HostConfig host = host_with_tiers();
    CHECK(validate(domain_xml(element("dram='25%'")), host).problems.empty());
    CHECK(validate(domain_xml(""), host).problems.empty());
    CHECK(validate("<memory dram='25%'/>", host).problems.empty());
    CHECK(validate(element("dram='0'"), host).problems.size() == 1);
    CHECK(validate(domain_xml(element("dram='0'")), host).problems.size() == 1);
    CHECK(
        validate(domain_xml(element("dram='8GiB'", "<t:tier name='x'/>")), host).problems.size() ==
        2);
    CHECK(validate(domain_xml(element("dram='25%'")), host).kind == Validation::Kind::tiered);
    CHECK(validate("<memory dram='25%'/>", host).kind == Validation::Kind::tiered);
    CHECK(validate(domain_xml(element("mode='off'")), host).kind == Validation::Kind::off);
    CHECK(validate("<memory mode='off'/>", host).kind == Validation::Kind::off);
    CHECK(validate(domain_xml(""), host).kind == Validation::Kind::no_element);
    CHECK(validate("nonsense", host).problems.size() == 1);
    CHECK(validate(domain_xml(element("dram='x'")), HostConfig{}).problems.size() == 1);
}

TEST_CASE("a domain without the element is not resolved") {
    CHECK(!resolve(parse_domain(domain_xml("")).domain, host_with_tiers()));
}
