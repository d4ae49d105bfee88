// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small pieces of text that the tests of the domain layer build domains and configurations from.
#pragma once

#include "domain/domain.h"
#include "domain/host_config.h"
#include "domain/resolve.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>

namespace tidemark::domain::test {

// Our element, with these attributes and children.
inline std::string element(const std::string &attributes, const std::string &children = {}) {
    return "<t:memory xmlns:t='urn:tidemark:domain:1' " + attributes + ">" + children +
           "</t:memory>";
}

// A domain of 4 GiB whose metadata is this, with `more` beside it.
inline std::string domain_xml(const std::string &metadata, const std::string &more = {}) {
    return "<domain type='kvm'>\n"
           "  <name>web-1</name>\n"
           "  <uuid>5B1F1C4E-8f6c-4a0e-9d0a-0c5b6f0f7a01</uuid>\n"
           "  <title>shop</title>\n"
           "  <memory unit='KiB'>4194304</memory>\n"
           "  <metadata>" +
           metadata + "</metadata>\n" + more + "</domain>\n";
}

inline HostConfig host_with_tiers() {
    const auto config = parse_config("[[tier]]\nname='fast'\nclass='nvme'\npath='/fast'\n"
                                     "capacity='6GiB'\nwrite_budget='1GiB'\n"
                                     "[[tier]]\nname='big'\nclass='qlc'\npath='/big'\n",
                                     "t.toml");
    REQUIRE(config);
    return *config;
}

// The only problem that parsing finds.
inline std::string only_problem(const std::string &xml) {
    const Parsed parsed = parse_domain(xml);
    INFO(xml);
    CAPTURE(parsed.problems);
    REQUIRE(parsed.problems.size() == 1);
    return parsed.problems.front();
}

} // namespace tidemark::domain::test
