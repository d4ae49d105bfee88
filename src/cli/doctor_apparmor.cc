// SPDX-License-Identifier: GPL-2.0-or-later
//
// AppArmor, if it is on: may libvirtd start our QEMU and the hook's program, and may that QEMU do what it must.
#include "cli/doctor.h"
#include "cli/program.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fnmatch.h>
#include <sstream>
#include <unistd.h>

namespace tidemark::cli {
namespace {

constexpr const char *kFolder = "/etc/apparmor.d/";
// As in share/tidemark/apparmor-libvirtd.
constexpr const char *kRule = "  /usr/libexec/tidemark/* PUx,\n";
constexpr const char *kParser = "/usr/sbin/apparmor_parser";

// Whether a rule in the text lets it be run: "PATH MODES," with * and ** as the shell knows them. Rules that say it
// in another way (alternatives in braces) are not seen.
bool lets_run(const std::string &text, const char *program) {
    std::istringstream lines(text);
    std::string line;
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        std::string pattern, modes;
        words >> pattern >> modes;
        const bool rule = pattern.starts_with('/') && modes.ends_with(',');
        const int how = pattern.find("**") == std::string::npos ? FNM_PATHNAME : 0;
        if (rule && modes.find_first_of("xX") != std::string::npos &&
            fnmatch(pattern.c_str(), program, how) == 0)
            return true;
    }
    return false;
}

Result<std::string> load(const Host &host, const std::string &profile) {
    if (host.is_simulated() || access(kParser, X_OK) != 0)
        return "load it with apparmor_parser -r " + profile;
    const auto ran = run_program({kParser, "-r", profile}, std::chrono::seconds(60));
    if (!ran)
        return tl::unexpected<Error>(ran.error());
    if (ran->status != 0)
        return fail(EINVAL, "apparmor_parser does not take it: " + ran->output.substr(0, 300));
    return std::string("it is loaded");
}

// A local file that the parser does not take would leave libvirtd without its profile after the next boot.
Result<std::string> fix_local(const Host &host, const std::string &profile,
                              const std::string &local) {
    const std::string path = host.path(local), before = small_file(path);
    const bool existed = access(path.c_str(), F_OK) == 0;
    const bool open_end = !before.empty() && before.back() != '\n';
    const auto written = replace_file(path, before + (open_end ? "\n" : "") +
                                                "# Added by tidemark doctor --fix.\n" + kRule);
    if (!written)
        return tl::unexpected<Error>(written.error());
    const auto loaded = load(host, profile);
    if (loaded)
        return local + " lets libvirt start them; " + *loaded;
    std::error_code ignored;
    if (existed)
        std::filesystem::rename(path + ".before-tidemark", path, ignored);
    else
        std::filesystem::remove(path, ignored);
    return tl::unexpected<Error>(loaded.error());
}

void check_profile(const Host &host, const std::string &name, Findings &findings) {
    const std::string profile = kFolder + name, local = std::string(kFolder) + "local/" + name;
    std::string rules = small_file(host.path(profile));
    if (rules.empty())
        return; // no such profile: nothing is forbidden
    const bool included = rules.find("local/" + name) != std::string::npos;
    if (included)
        rules += "\n" + small_file(host.path(local));
    const std::string subject = "apparmor " + name;
    if (lets_run(rules, kEmulator) && lets_run(rules, kHookProgram)) {
        findings.push_back(
            {Grade::ok, subject, "libvirt may start what is in /usr/libexec/tidemark", ""});
        return;
    }
    Finding finding{Grade::fail, subject,
                    profile + " does not let libvirt start what is in /usr/libexec/tidemark",
                    "put the line '/usr/libexec/tidemark/* PUx,' into " +
                        (included ? local : profile) + ", then apparmor_parser -r " + profile};
    if (included)
        finding.fix = [&host, profile, local] { return fix_local(host, profile, local); };
    findings.push_back(std::move(finding));
}

} // namespace

void check_apparmor(const Host &host, Findings &findings) {
    if (!small_file(host.path("/sys/module/apparmor/parameters/enabled")).starts_with("Y"))
        return;
    const char *const kRules = "/etc/apparmor.d/abstractions/libvirt-qemu.d/tidemark";
    if (access(host.path(kRules).c_str(), F_OK) == 0)
        findings.push_back(
            {Grade::ok, "apparmor", "guests' profiles include Tidemark's rules", ""});
    else
        findings.push_back(
            {Grade::fail, "apparmor",
             std::string("AppArmor is on, and ") + kRules + " is not there",
             "`meson install` puts it there; a new tier's path belongs into it, too"});
    for (const char *name : {"usr.sbin.libvirtd", "usr.sbin.virtqemud"})
        check_profile(host, name, findings);
}

} // namespace tidemark::cli
