// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/doctor.h"

#include "cli/api.h"
#include "cli/commands.h"

#include <algorithm>
#include <cstdio>

namespace tidemark::cli {
namespace {

const char *word(Grade grade) {
    return grade == Grade::ok ? "ok" : grade == Grade::warn ? "warn" : "fail";
}

Findings look(const Session &session, Host &host) {
    Findings findings;
    if (auto config = domain::load_config(session.config)) {
        host.config = *config;
        findings.push_back({Grade::ok, "configuration",
                            config->source.empty() ? "no tidemark.toml: defaults hold"
                                                   : config->source + " is well formed",
                            ""});
    } else {
        findings.push_back({Grade::fail, "configuration", config.error().sentence,
                            "correct the file; until then the defaults are looked at"});
    }
    check_kernel(host, findings);
    check_permissions(host, findings);
    check_libvirt(host, findings);
    check_apparmor(host, findings);
    check_emulator(host, findings);
    check_folders(host, findings);
    check_tiers(host, findings);
    if (!host.is_simulated())
        check_daemon(session, findings);
    return findings;
}

void print(const Findings &findings) {
    for (const Finding &finding : findings) {
        std::printf("%-4s  %s: %s\n", word(finding.grade), finding.subject.c_str(),
                    finding.sentence.c_str());
        if (!finding.mend.empty())
            std::printf("      to mend: %s\n", finding.mend.c_str());
    }
}

Json to_json(const Findings &findings) {
    Json list = Json::array();
    for (const Finding &finding : findings) {
        list.push_back({{"grade", word(finding.grade)},
                        {"subject", finding.subject},
                        {"sentence", finding.sentence},
                        {"mend", finding.mend},
                        {"fixable", static_cast<bool>(finding.fix)}});
    }
    return list;
}

std::ptrdiff_t count(const Findings &findings, Grade grade) {
    return std::count_if(findings.begin(), findings.end(),
                         [&](const Finding &finding) { return finding.grade == grade; });
}

// What was done or could not be, one line each on stderr: stdout is for the findings.
void fix(const Findings &findings) {
    for (const Finding &finding : findings) {
        if (finding.grade == Grade::ok || !finding.fix)
            continue;
        const auto fixed = finding.fix();
        std::fprintf(stderr, "%s %s: %s\n", fixed ? "fixed" : "not fixed", finding.subject.c_str(),
                     fixed ? fixed->c_str() : fixed.error().sentence.c_str());
    }
}

} // namespace

void check_daemon(const Session &session, Findings &findings) {
    Api api(session);
    const auto status = api.get("/api/v1/status");
    if (status)
        findings.push_back({Grade::ok, "daemon", "tidemarkd answers", ""});
    else
        findings.push_back({Grade::fail, "daemon", status.error().sentence,
                            "systemctl enable --now tidemarkd; journalctl -u tidemarkd says why it "
                            "does not run"});
}

Exit run_doctor(const Session &session, const DoctorOptions &options) {
    Host host;
    host.root = options.root;
    host.emulator = options.emulator;
    Findings findings = look(session, host);
    if (options.fix) {
        fix(findings);
        findings = look(session, host);
    }
    const auto fails = count(findings, Grade::fail);
    if (session.json) {
        print_json({{"findings", to_json(findings)}, {"healthy", fails == 0}});
    } else {
        print(findings);
        const bool fixable = std::any_of(findings.begin(), findings.end(), [](const Finding &f) {
            return f.grade != Grade::ok && f.fix;
        });
        std::printf("%td to mend, %td to know%s\n", fails, count(findings, Grade::warn),
                    fixable && !options.fix ? "; --fix does what is safe" : "");
    }
    return fails == 0 ? Exit::ok : Exit::failed;
}

} // namespace tidemark::cli
