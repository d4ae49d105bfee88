// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/api.h"
#include "cli/commands.h"
#include "domain/host_config.h"
#include "domain/resolve.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace tidemark::cli {
namespace {

// One byte more than a domain may have, so that a longer one is refused and not cut.
Result<std::string> read_all(const std::string &file) {
    const std::unique_ptr<FILE, int (*)(FILE *)> opened(
        file == "-" ? nullptr : std::fopen(file.c_str(), "rbe"),
        [](FILE *f) { return f == nullptr ? 0 : std::fclose(f); });
    if (file != "-" && !opened)
        return fail(errno, file + " can't be read: " + std::strerror(errno));
    FILE *in = opened ? opened.get() : stdin;
    std::string text(domain::kXmlMost + 1, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), in));
    if (std::ferror(in) != 0)
        return fail(errno, file + " can't be read: " + std::strerror(errno));
    return text;
}

const char *verdict(domain::Validation::Kind kind) {
    switch (kind) {
    case domain::Validation::Kind::tiered:
        return "would start on this host";
    case domain::Validation::Kind::off:
        return "is switched off by mode='off': would start as any other guest";
    case domain::Validation::Kind::no_element:
        break;
    }
    return "has no element of urn:tidemark:domain:1; nothing to check";
}

} // namespace

Exit run_validate(const Session &session, const std::string &file) {
    const auto xml = read_all(file);
    if (!xml)
        return complain({Exit::failed, xml.error().sentence, 0});
    const auto host = domain::load_config(session.config);
    if (!host)
        return complain({Exit::failed, host.error().sentence, 0});
    const auto [kind, problems] = domain::validate(*xml, *host);
    if (session.json) {
        print_json({{"file", file},
                    {"valid", problems.empty()},
                    {"tiered", kind == domain::Validation::Kind::tiered},
                    {"problems", problems}});
    } else {
        for (const std::string &problem : problems)
            std::printf("%s: %s\n", file.c_str(), problem.c_str());
        if (problems.empty())
            std::printf("%s: %s\n", file.c_str(), verdict(kind));
    }
    return problems.empty() ? Exit::ok : Exit::failed;
}

} // namespace tidemark::cli
