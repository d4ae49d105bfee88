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

std::vector<std::string> validate(std::string_view xml, const HostConfig &host) {
    if (is_element_alone(xml))
        return parse_element(xml).problems; // nothing of the domain is known
    Parsed parsed = parse_domain(xml);
    if (!parsed.domain.element)
        return std::move(parsed.problems);
    std::vector<std::string> problems = std::move(parsed.problems);
    // With attributes missing because they were wrong, the host's view would mislead; what stands in
    // the way in the domain itself does not depend on them.
    const std::vector<std::string> more =
        problems.empty() ? resolve_all(parsed.domain, host).problems : parsed.domain.obstacles;
    problems.insert(problems.end(), more.begin(), more.end());
    return problems;
}

} // namespace tidemark::domain
