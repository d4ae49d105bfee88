// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the hook sends, what the daemon answers, and what QEMU reads.
#include "support.h"

#include <nlohmann/json.hpp>

using namespace tidemark::domain;
using namespace tidemark::domain::test;
using Catch::Matchers::ContainsSubstring;
using nlohmann::json;

namespace {

const std::string kFull =
    element("dram='25%' floor='512MiB' priority='7'",
            "<t:affinity group='db'/><t:tier name='fast' write-budget='0'/>"
            "<t:tier class='qlc' path='/mnt/x' capacity='1T'/>"
            "<t:policy eviction='lfu' prefetch='off' window='5' cold='6' slowdown='7' learn='off' "
            "reuse='on' learn-writes='on'/><t:label>&#228;</t:label>");

ResolvedDomain resolved() {
    const auto result = resolve(parse_domain(domain_xml(kFull)).domain, host_with_tiers());
    REQUIRE(result);
    return *result;
}

std::string refused(json document) {
    const auto result = resolved_from_json(document.dump());
    INFO(document.dump());
    REQUIRE(!result);
    return result.error().sentence;
}

} // namespace

TEST_CASE("a domain survives the way to the daemon") {
    for (const std::string &each : {kFull, element(""), element("", "<t:affinity service='s'/>")}) {
        const Domain sent =
            parse_domain(domain_xml(each, "<memoryBacking><locked/></memoryBacking>"
                                          "<devices><emulator>/q</emulator></devices>"
                                          "<seclabel model='dac'><label>a:b</label></seclabel>"))
                .domain;
        const auto got = domain_from_json(to_json_text(sent));
        REQUIRE(got);
        CHECK(got->uuid == sent.uuid);
        CHECK(got->name == sent.name);
        CHECK(got->title == sent.title);
        CHECK(got->memory == sent.memory);
        CHECK(got->current == sent.current);
        CHECK(got->max_memory == sent.max_memory);
        CHECK(got->obstacles == sent.obstacles);
        CHECK(got->obstacles.size() == 1);
        CHECK(got->dac_label == "a:b");
        CHECK(got->emulator == "/q");
        CHECK(got->element == sent.element);
    }
}

TEST_CASE("what is no domain is refused with the field's name") {
    const json good = to_json(parse_domain(domain_xml(kFull)).domain);
    const auto sentence = [&](const json::json_pointer &at, const json &value) {
        json bad = good;
        bad[at] = value;
        const auto result = domain_from_json(bad.dump());
        INFO(bad.dump());
        REQUIRE(!result);
        return result.error().sentence;
    };
    using json_pointer = json::json_pointer;
    CHECK_THAT(sentence(json_pointer("/uuid"), "x"), ContainsSubstring("uuid is "));
    CHECK_THAT(sentence(json_pointer("/memory"), -1), ContainsSubstring("memory is '-1'"));
    CHECK_THAT(sentence(json_pointer("/element/dram"), "0%"), ContainsSubstring("element.dram"));
    CHECK_THAT(sentence(json_pointer("/element/priority"), 0),
               ContainsSubstring("element.priority is '0'; it must be a whole number from 1 to"));
    CHECK_THAT(sentence(json_pointer("/element/tiers/1/class"), "tape"),
               ContainsSubstring("element.tiers[1].class is '\"tape\"'"));
    CHECK_THAT(sentence(json_pointer("/element/tiers/1/path"), "x"),
               ContainsSubstring("element.tiers[1].path"));
    CHECK_THAT(sentence(json_pointer("/element/policy/prefetch"), "on"),
               ContainsSubstring("element.policy.prefetch"));
    CHECK_THAT(sentence(json_pointer("/element/group"), "a b"), ContainsSubstring("element.group"));
    CHECK_THAT(sentence(json_pointer("/element"), json::array()),
               ContainsSubstring("element is '[]'; it must be an object"));
    CHECK(!domain_from_json("{}"));
    CHECK(!domain_from_json("[]"));
    CHECK(!domain_from_json(""));
    CHECK(!domain_from_json("{\"uuid\":"));
    CHECK(!domain_from_json(std::string(100'000, '[')));
    CHECK(
        !domain_from_json("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}"));
    CHECK(!domain_from_json(std::string(kJsonMost + 1, ' ')));
}

TEST_CASE("the file has exactly the keys that QEMU and the daemon agreed on") {
    const json file = json::parse(to_json_text(resolved()));
    CHECK(
        file ==
        json{
            {"version", 1},
            {"uuid", "5b1f1c4e-8f6c-4a0e-9d0a-0c5b6f0f7a01"},
            {"name", "web-1"},
            {"title", "shop"},
            {"memory", 4294967296},
            {"dram-limit", 1073741824},
            {"dram-floor", 536870912},
            {"priority", 7},
            {"tiers",
             {{{"path", "/fast"}, {"class", "nvme"}, {"capacity", 6442450944}, {"write-budget", 0}},
              {{"path", "/mnt/x"},
               {"class", "qlc"},
               {"capacity", 1099511627776},
               {"write-budget", 0}}}},
            {"eviction-policy", "lfu"},
            {"cold-age", 6},
            {"prefetch", false},
            {"prefetch-window", 5},
            {"reclaim-slowdown", 7},
            {"learn", false},
            {"reuse", true},
            {"learn-writes", true},
            {"group", "de5b82b9-08bb-58ea-b92d-e9d20f08f686"},
            {"group-name", "db"},
            {"labels", {"\xc3\xa4"}},
            {"qmp", "/run/tidemark/vm.sock"}});
}

TEST_CASE("what is not said is not in the file") {
    const auto plain = resolve(parse_domain(domain_xml(element(""))).domain, host_with_tiers());
    REQUIRE(plain);
    const json file = to_json(*plain);
    for (const char *key :
         {"eviction-policy", "cold-age", "prefetch", "prefetch-window", "reclaim-slowdown", "learn",
          "reuse", "learn-writes", "group", "group-name", "service"})
        CHECK(!file.contains(key));
}

TEST_CASE("the file is read as it was written") {
    CHECK(resolved_from_json(to_json_text(resolved())).value() == resolved());
    json more = to_json(resolved());
    more["something-new"] = {1, 2, 3};
    CHECK(resolved_from_json(more.dump()).value() == resolved());
}

TEST_CASE("what is no resolved domain is refused with the field's name") {
    json file = to_json(resolved());
    for (const char *key :
         {"version", "uuid", "name", "memory", "dram-limit", "dram-floor", "tiers"}) {
        json without = file;
        without.erase(key);
        CHECK_THAT(refused(without), ContainsSubstring(std::string(key) + " is missing"));
    }
    const auto with = [&](const char *key, const json &value) {
        json other = file;
        other[key] = value;
        return refused(other);
    };
    CHECK_THAT(with("version", 2), ContainsSubstring("version is '2'"));
    CHECK_THAT(with("uuid", "x"), ContainsSubstring("uuid is '\"x\"'; it must be a UUID"));
    CHECK_THAT(with("dram-limit", 5'000'000'000'000), ContainsSubstring("at most memory"));
    CHECK_THAT(with("dram-floor", 4294967296), ContainsSubstring("at least dram-floor"));
    CHECK_THAT(with("tiers", json::array({1})), ContainsSubstring("8 objects"));
    CHECK_THAT(with("cold-age", "120"), ContainsSubstring("cold-age"));
    CHECK_THAT(with("prefetch", 1), ContainsSubstring("true or false"));
    CHECK_THAT(with("memory", 1.5), ContainsSubstring("memory is '1.5'"));
}

TEST_CASE("a name that is no UTF-8 does not stop the file") {
    ResolvedDomain domain = resolved();
    domain.name = "a\xff";
    CHECK(resolved_from_json(to_json_text(domain))->name == "a\xef\xbf\xbd");
}
