// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/resolve.h"
#include "domain/xml.h"

namespace tidemark::domain {

namespace {

bool is_element_alone(std::string_view xml) {
    const auto document = xml::Document::parse(xml, kXmlMost);
    return document && document->root().name() == "memory";
}

} // namespace

Validation validate(std::string_view xml, const HostConfig &host) {
    using Kind = Validation::Kind;
    if (is_element_alone(xml)) { // nothing of the domain is known
        ParsedElement alone = parse_element(xml);
        return {alone.element ? Kind::tiered : Kind::off, std::move(alone.problems)};
    }
    Parsed parsed = parse_domain(xml);
    if (!parsed.domain.element)
        return {parsed.off ? Kind::off : Kind::no_element, std::move(parsed.problems)};
    std::vector<std::string> problems = std::move(parsed.problems);
    // With attributes missing because they were wrong, the host's view would mislead; what stands in
    // the way in the domain itself does not depend on them.
    const std::vector<std::string> more =
        problems.empty() ? resolve_all(parsed.domain, host).problems : parsed.domain.obstacles;
    problems.insert(problems.end(), more.begin(), more.end());
    return {Kind::tiered, std::move(problems)};
}

} // namespace tidemark::domain
