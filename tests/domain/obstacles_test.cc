// SPDX-License-Identifier: GPL-2.0-or-later
//
// Memory that cannot be tiered, a sentence for each reason; and what looks like it, and can.
#include "support.h"

using namespace tidemark::domain;
using namespace tidemark::domain::test;
using Catch::Matchers::ContainsSubstring;

namespace {

std::vector<std::string> obstacles(const std::string &more) {
    const Parsed parsed = parse_domain(domain_xml(element("dram='50%'"), more));
    CAPTURE(parsed.problems);
    REQUIRE(parsed.problems.empty());
    return parsed.domain.obstacles;
}

} // namespace

TEST_CASE("each kind of memory that cannot be tiered has its sentence") {
    const std::pair<const char *, const char *> cases[] = {
        {"<memoryBacking><hugepages/></memoryBacking>", "asks for <hugepages/>"},
        {"<memoryBacking><hugepages><page size='2048'/></hugepages></memoryBacking>",
         "asks for <hugepages/>"},
        {"<memoryBacking><locked/></memoryBacking>", "asks for <locked/>"},
        {"<memoryBacking><access mode='shared'/></memoryBacking>", "asks for shared memory"},
        {"<memoryBacking><allocation mode='immediate'/></memoryBacking>", "all memory at start"},
        {"<memoryBacking><source type='file'/></memoryBacking>", "puts memory into a file"},
        {"<memoryBacking><source type='memfd'/></memoryBacking>", "puts memory into a memfd"},
        {"<cpu><numa><cell id='0' memory='1'/><cell id='1' memAccess='shared'/></numa></cpu>",
         "NUMA cell 1 has memAccess='shared'"},
        {"<devices><memory model='dimm' access='shared'/></devices>", "access='shared'"},
        {"<devices><memory model='dimm'><source><pagesize unit='KiB'>2048</pagesize></source>"
         "</memory></devices>",
         "pages of 2048 KiB"},
        {"<devices><memory model='nvdimm'/></devices>", "memory device of model 'nvdimm'"},
        {"<devices><hostdev mode='subsystem' type='pci'/></devices>", "gives a host device"},
        {"<devices><hostdev mode='subsystem' type='mdev'/></devices>", "gives a host device"},
        {"<devices><interface type='vdpa'/></devices>", "<interface type='vdpa'>"},
        {"<launchSecurity type='sev'/>", "encrypts the guest's memory"},
    };
    for (const auto &[xml, words] : cases) {
        CAPTURE(xml);
        const auto found = obstacles(xml);
        REQUIRE(found.size() == 1);
        CHECK_THAT(found.front(), ContainsSubstring(words));
        CHECK_THAT(found.front(), ContainsSubstring("remove that, or write mode='off'"));
        CHECK(found.front().starts_with("line 7: "));
    }
}

TEST_CASE("what can be tiered has no sentence") {
    for (const char *xml :
         {"<memoryBacking><nosharepages/><discard/></memoryBacking>",
          "<memoryBacking><access mode='private'/><source type='anonymous'/>"
          "<allocation mode='ondemand'/></memoryBacking>",
          "<cpu><numa><cell id='0' memAccess='private'/></numa></cpu>",
          "<devices><memory model='dimm'/><memory model='virtio-mem'/></devices>",
          "<devices><hostdev mode='subsystem' type='usb'/><interface type='network'/></devices>",
          "<numatune><memory mode='strict' nodeset='0'/></numatune>"}) {
        CAPTURE(xml);
        CHECK(obstacles(xml).empty());
    }
}

TEST_CASE("all obstacles are reported at once, and stop the domain") {
    const std::string xml = domain_xml(element("dram='50%'"),
                                       "<memoryBacking><hugepages/><locked/><access mode='shared'/>"
                                       "</memoryBacking>");
    CHECK(parse_domain(xml).domain.obstacles.size() == 3);
    CHECK(resolve_all(parse_domain(xml).domain, host_with_tiers()).problems.size() == 3);
    CHECK(validate(xml, host_with_tiers()).problems.size() == 3);
}

TEST_CASE("a domain that is not ours may have any memory") {
    const std::string backing = "<memoryBacking><hugepages/></memoryBacking>";
    CHECK(parse_domain(domain_xml(element("mode='off'"), backing)).domain.obstacles.empty());
    CHECK(validate(domain_xml(element("mode='off'"), backing), host_with_tiers()).problems.empty());
    CHECK(validate(domain_xml("", backing), host_with_tiers()).problems.empty());
}
