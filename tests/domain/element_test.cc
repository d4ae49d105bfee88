// SPDX-License-Identifier: GPL-2.0-or-later
#include "support.h"

using namespace tidemark::domain;
using namespace tidemark::domain::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a full element is read") {
    const Parsed parsed = parse_domain(domain_xml(element(
        "mode='tiered' dram='25%' floor='512MiB' priority='7'",
        "<t:affinity group='db'/>\n<t:tier name='fast' capacity='8GiB' write-budget='0'/>"
        "<t:tier class='qlc' path='/mnt/a b' capacity='1T'/>"
        "<!-- a comment --><t:policy eviction='lfu' prefetch='off' window='3600' cold='172800' "
        "slowdown='0' learn='off' reuse='on' learn-writes='off'/>"
        "<t:label> two\n  words </t:label><t:label>x</t:label>")));
    CAPTURE(parsed.problems);
    REQUIRE(parsed.problems.empty());
    CHECK(parsed.domain.uuid == "5b1f1c4e-8f6c-4a0e-9d0a-0c5b6f0f7a01");
    CHECK(parsed.domain.name == "web-1");
    CHECK(parsed.domain.title == "shop");
    CHECK(parsed.domain.memory == 4ULL << 30);
    CHECK(parsed.domain.current == 4ULL << 30);
    CHECK(parsed.domain.max_memory == 4ULL << 30);
    REQUIRE(parsed.domain.element);
    const DomainElement &read = *parsed.domain.element;
    CHECK(read.dram == Amount::percent(25));
    CHECK(read.floor == Amount::bytes(512ULL << 20));
    CHECK(read.priority == 7U);
    CHECK(read.affinity == Affinity{Affinity::Kind::group, "db"});
    REQUIRE(read.tiers.size() == 2);
    CHECK(read.tiers[0] == TierElement{"fast", TierClass::nvme, "", 8ULL << 30, 0});
    CHECK(read.tiers[1] == TierElement{"", TierClass::qlc, "/mnt/a b", 1ULL << 40, std::nullopt});
    CHECK(read.policy == Policy{Eviction::lfu, false, 3600U, 172800U, 0U, false, true, false});
    CHECK(read.labels == std::vector<std::string>{"two words", "x"});
}

TEST_CASE("an element that says nothing leaves all to the defaults") {
    const Parsed parsed = parse_domain(domain_xml(element("")));
    REQUIRE(parsed.problems.empty());
    CHECK(parsed.domain.element == DomainElement{});
}

TEST_CASE("the prefix does not matter, the namespace does") {
    CHECK(parse_domain(domain_xml("<memory xmlns='urn:tidemark:domain:1' dram='1G'>"
                                  "<affinity service='web'/></memory>"))
              .domain.element->affinity.name == "web");
    CHECK(!parse_domain(domain_xml("<t:memory xmlns:t='urn:tidemark:domain:2' dram='x'/>"))
               .domain.element);
    CHECK(!parse_domain(domain_xml("<memory dram='x'/>")).domain.element);
    CHECK_THAT(only_problem(domain_xml(element("", "<affinity group='a'/>"))),
               ContainsSubstring("is not in the namespace urn:tidemark:domain:1"));
    CHECK_THAT(only_problem(domain_xml(element("t:dram='1G'"))),
               ContainsSubstring("<memory> has no attribute 'dram'"));
}

TEST_CASE("the element alone is read as libvirt gives it, without a prefix") {
    const ParsedElement parsed =
        parse_element("<memory mode='tiered' dram='30%'><affinity group='db'/></memory>");
    REQUIRE(parsed.problems.empty());
    CHECK(parsed.element->dram == Amount::percent(30));
    CHECK(parsed.element->affinity.name == "db");
    CHECK(parse_element(element("dram='30%'")).element->dram == Amount::percent(30));
    CHECK(!parse_element("<memory mode='off'/>").element);
    CHECK(parse_element("<memory mode='off'/>").problems.empty());
    CHECK(parse_element("<memroy/>").problems.size() == 1);
    CHECK(parse_element("").problems.size() == 1);
}

TEST_CASE("an element that is off is not looked into") {
    const Parsed parsed = parse_domain(domain_xml(
        element("mode='off' dram='nonsense'", "<t:nonsense/>"), "<memory>broken</memory>"));
    CHECK(parsed.problems.empty());
    CHECK(!parsed.domain.element);
}

TEST_CASE("a domain without the element has no problems") {
    const Parsed parsed = parse_domain("<domain><uuid>no</uuid><memory>x</memory></domain>");
    CHECK(parsed.problems.empty());
    CHECK(!parsed.domain.element);
    CHECK(!mentions_us(domain_xml("")));
    CHECK(mentions_us(domain_xml(element(""))));
}

TEST_CASE("each mistake is a sentence with line, name, value and what is accepted") {
    const std::string dram = only_problem(domain_xml("\n\n" + element("dram='0%'")));
    CHECK(dram ==
          "line 8: dram of <memory> is '0%'; it must be 1% to 100%, or a size such as 4096, "
          "512MiB or 4GiB");
    CHECK(only_problem(domain_xml(element("priority='1001'"))) ==
          "line 6: priority of <memory> is '1001'; it must be a whole number from 1 to 1000");
    CHECK(only_problem(domain_xml(element("mode='on'"))) ==
          "line 6: mode of <memory> is 'on'; it must be tiered or off");
    CHECK(only_problem(domain_xml(element("dramm='1'"))) ==
          "line 6: <memory> has no attribute 'dramm'; it has mode, dram, floor and priority");
    CHECK(only_problem(domain_xml(element("", "<t:policy\n prefetch='yes'/>"))) ==
          "line 7: prefetch of <policy> is 'yes'; it must be on or off");
    CHECK(only_problem(domain_xml(element("", "<t:tears/>"))) ==
          "line 6: <memory> has no element 'tears'; it has affinity, tier, policy and label");
}

TEST_CASE("all mistakes are reported at once") {
    const Parsed parsed = parse_domain(domain_xml(
        element("dram='x' floor='0' priority='-1'",
                "<t:affinity/><t:tier path='x'/><t:policy cold='0' learn='maybe'/><t:label/>")));
    CAPTURE(parsed.problems);
    CHECK(parsed.problems.size() == 8);
}

TEST_CASE("there is one element, and of its own name") {
    CHECK_THAT(only_problem(domain_xml(element("") + element(""))),
               ContainsSubstring("is there twice"));
    CHECK_THAT(only_problem(domain_xml("<t:memroy xmlns:t='urn:tidemark:domain:1'/>")),
               ContainsSubstring("<memroy> is no element of urn:tidemark:domain:1"));
}

TEST_CASE("lists have bounds, and pass them with one sentence") {
    std::string tiers, labels;
    for (int i = 0; i < 30; ++i)
        tiers += "<t:tier class='nvme' path='/t" + std::to_string(i) + "'/>";
    for (int i = 0; i < 100; ++i)
        labels += "<t:label>l</t:label>";
    CHECK_THAT(only_problem(domain_xml(element("", tiers))),
               ContainsSubstring("more than 8 <tier>"));
    CHECK_THAT(only_problem(domain_xml(element("", labels))),
               ContainsSubstring("more than 32 <label>"));
    CHECK_THAT(
        only_problem(domain_xml(element("", "<t:label>" + std::string(129, 'x') + "</t:label>"))),
        ContainsSubstring("1 to 128 bytes"));
}

TEST_CASE("what is not XML, too large or dangerous is refused") {
    CHECK_THAT(only_problem(""), ContainsSubstring("not"));
    CHECK_THAT(only_problem("<domain>\n<name>"),
               ContainsSubstring("line 2: this is not well-formed"));
    CHECK_THAT(only_problem("<pool/>"), ContainsSubstring("it must be a <domain>"));
    CHECK_THAT(only_problem(std::string(kXmlMost + 1, ' ')), ContainsSubstring("at most 1 MiB"));
    CHECK_THAT(only_problem("<!DOCTYPE domain [<!ENTITY a 'x'>]><domain>&a;</domain>"),
               ContainsSubstring("document type"));
    CHECK_THAT(only_problem("<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>"),
               ContainsSubstring("document type"));
    std::string deep;
    for (int i = 0; i < 5000; ++i)
        deep += "<a>";
    CHECK(parse_domain("<domain>" + deep).problems.size() == 1);
    CHECK_THAT(only_problem("<domain><name>\xff\xfe</name></domain>"),
               ContainsSubstring("not well-formed"));
}

TEST_CASE("a document type's name in a comment harms nobody") {
    CHECK(
        parse_domain("<!-- <!DOCTYPE x> -->" + domain_xml(element("dram='50%'"))).problems.empty());
}

TEST_CASE("memory is read in libvirt's units") {
    const auto memory = [](const std::string &xml) {
        return parse_domain("<domain><metadata>" + element("") + "</metadata>" + xml + "</domain>")
            .domain;
    };
    CHECK(memory("<memory>1024</memory>").memory == 1U << 20);
    CHECK(memory("<memory unit='GB'>1</memory>").memory == 1'000'000'000);
    CHECK(memory("<memory unit='b'>4096</memory>").memory == 4096);
    const Domain domain =
        memory("<memory unit='G'>2</memory><currentMemory unit='M'>512</currentMemory>"
               "<maxMemory slots='4' unit='GiB'>8</maxMemory>");
    CHECK(domain.memory == 2ULL << 30);
    CHECK(domain.current == 512ULL << 20);
    CHECK(domain.max_memory == 8ULL << 30);
    for (const char *bad : {"<memory>x</memory>", "<memory unit='pints'>1</memory>",
                            "<memory unit='TiB'>18446744073709551615</memory>"})
        CHECK_THAT(
            only_problem("<domain><metadata>" + element("") + "</metadata>" + bad + "</domain>"),
            ContainsSubstring("<memory> of the domain is"));
}
