// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/domain.h"
#include "domain/element_reader.h"
#include "domain/group_id.h"
#include "domain/obstacles.h"
#include "domain/xml.h"

#include <array>
#include <cerrno>
#include <charconv>

namespace tidemark::domain {

namespace {

struct Unit {
    std::string_view name;
    std::uint64_t bytes;
};
// libvirt's own, where KB is 1000 bytes; without one it counts in KiB.
constexpr std::array<Unit, 14> kUnits{{{"b", 1},
                                       {"bytes", 1},
                                       {"KB", 1000},
                                       {"k", 1ULL << 10},
                                       {"KiB", 1ULL << 10},
                                       {"MB", 1000'000},
                                       {"M", 1ULL << 20},
                                       {"MiB", 1ULL << 20},
                                       {"GB", 1000'000'000},
                                       {"G", 1ULL << 30},
                                       {"GiB", 1ULL << 30},
                                       {"TB", 1000'000'000'000},
                                       {"T", 1ULL << 40},
                                       {"TiB", 1ULL << 40}}};

std::uint64_t unit_bytes(const std::string &name) {
    for (const Unit &unit : kUnits)
        if (name == unit.name)
            return unit.bytes;
    return 0;
}

// The bytes that <memory unit='KiB'>4194304</memory> and its like say; 0 if it is not there.
std::uint64_t read_memory(const xml::Element &domain, std::string_view name, Problems &problems) {
    const auto element = domain.child(name);
    if (!element)
        return 0;
    const std::string text = element->text();
    const std::uint64_t unit = unit_bytes(element->attribute("unit").value_or("KiB"));
    std::uint64_t number = 0;
    const char *end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, number);
    if (error == std::errc{} && after == end && unit != 0 && number <= kSizeMost / unit)
        return number * unit;
    problems.push_back(at_line(*element) + "<" + std::string(name) + "> of the domain is " +
                       in_quotes(text + " " + element->attribute("unit").value_or("KiB")) +
                       "; it must be a number of at most 1024 PiB and one of libvirt's units");
    return 0;
}

void read_identity(const xml::Element &root, Domain &domain, Problems &problems) {
    if (const auto name = root.child("name"))
        domain.name = name->text();
    if (const auto title = root.child("title"))
        domain.title = title->text();
    if (const auto uuid = root.child("uuid")) {
        const auto normal = normal_uuid(uuid->text());
        if (normal)
            domain.uuid = *normal;
        else
            problems.push_back(at_line(*uuid) + "<uuid> is " + in_quotes(uuid->text()) +
                               "; it must be a UUID");
    }
    if (const auto emulator = root.find("devices/emulator"))
        domain.emulator = emulator->text();
    for (const xml::Element &label : root.children())
        if (label.name() == "seclabel" && label.ns().empty() && label.attribute("model") == "dac" &&
            label.child("label"))
            domain.dac_label = label.child("label")->text();
}

void read_sizes(const xml::Element &root, Domain &domain, Problems &problems) {
    domain.memory = read_memory(root, "memory", problems);
    domain.current = read_memory(root, "currentMemory", problems);
    domain.max_memory = read_memory(root, "maxMemory", problems);
    if (domain.current == 0)
        domain.current = domain.memory;
    if (domain.max_memory < domain.memory)
        domain.max_memory = domain.memory;
}

// libvirt keeps one element per namespace and drops others without a word; a file may have more.
std::optional<xml::Element> our_element(const xml::Element &root, Problems &problems) {
    const auto metadata = root.child("metadata");
    if (!metadata)
        return std::nullopt;
    std::optional<xml::Element> found;
    for (const xml::Element &each : metadata->children()) {
        if (each.ns() != kNamespace)
            continue;
        if (each.name() != "memory")
            problems.push_back(at_line(each) + "<" + each.name() + "> is no element of " +
                               kNamespace + "; there is <memory>");
        else if (found)
            problems.push_back(at_line(each) +
                               "<memory> of Tidemark is there twice; libvirt would keep one");
        else
            found = each;
    }
    return found;
}

} // namespace

bool mentions_us(std::string_view xml) {
    return xml.find(kNamespace) != std::string_view::npos;
}

Error as_error(const std::vector<std::string> &problems) {
    std::string text;
    for (const std::string &each : problems)
        text += (text.empty() ? "" : "; ") + each;
    return Error{EINVAL, text};
}

Parsed parse_domain(std::string_view xml) {
    Parsed parsed;
    const auto document = xml::Document::parse(xml, kXmlMost);
    if (!document) {
        parsed.problems.push_back(document.error().sentence);
        return parsed;
    }
    const xml::Element root = document->root();
    if (root.name() != "domain" || !root.ns().empty()) {
        parsed.problems.push_back(at_line(root) + "the XML is a <" + root.name() +
                                  ">; it must be a <domain>");
        return parsed;
    }
    // What libvirt's own parts are wrong in is libvirt's to say, unless the domain is ours.
    Problems of_libvirt;
    read_identity(root, parsed.domain, of_libvirt);
    read_sizes(root, parsed.domain, of_libvirt);
    if (const auto element = our_element(root, parsed.problems)) {
        parsed.domain.element = read_element(*element, parsed.problems);
        parsed.off = !parsed.domain.element;
    }
    if (parsed.domain.element) {
        parsed.problems.insert(parsed.problems.end(), of_libvirt.begin(), of_libvirt.end());
        parsed.domain.obstacles = find_obstacles(root);
    }
    return parsed;
}

ParsedElement parse_element(std::string_view xml) {
    ParsedElement parsed;
    const auto document = xml::Document::parse(xml, kXmlMost);
    if (!document) {
        parsed.problems.push_back(document.error().sentence);
        return parsed;
    }
    const xml::Element root = document->root();
    if (root.name() != "memory" || (!root.ns().empty() && root.ns() != kNamespace)) {
        parsed.problems.push_back(at_line(root) + "the XML is a <" + root.name() +
                                  ">; it must be <memory> of " + kNamespace);
        return parsed;
    }
    parsed.element = read_element(root, parsed.problems);
    return parsed;
}

} // namespace tidemark::domain
