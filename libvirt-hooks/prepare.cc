// SPDX-License-Identifier: GPL-2.0-or-later
#include "prepare.h"

#include "client/client.h"
#include "domain/resolve.h"
#include "domain_file.h"
#include "emulator.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>
#include <syslog.h>

namespace tidemark::hook {

namespace {

using Sentences = std::vector<std::string>;

// Longer than a healthy daemon ever takes, short enough for a person who types `virsh start`.
constexpr std::chrono::milliseconds kAskDeadline{300};

// What the daemon made of the domain. No value: it cannot be asked, or makes no sense; it is then as
// if it were down.
struct Answer {
    std::optional<domain::ResolvedDomain> resolved;
    std::string refusal; // the daemon says no
    std::string silence; // why there is no answer
};

Answer ask_daemon(const domain::Domain &domain, const domain::HostConfig &config) {
    const auto reply = client::request(
        config.api_socket(), "POST", "/api/v1/domains/" + client::escape(domain.uuid) + "/prepare",
        domain::to_json_text(domain), kAskDeadline);
    if (!reply)
        return {{}, {}, reply.error().sentence};
    // Only these two say that this domain must not start; anything else is the daemon's own trouble.
    if (reply->status == 409 || reply->status == 422)
        return {{}, client::problem_sentence(*reply), {}};
    if (!reply->ok())
        return {{}, {}, client::problem_sentence(*reply)};
    auto resolved = domain::resolved_from_json(reply->body);
    if (!resolved)
        return {{}, {}, "tidemarkd's answer makes no sense: " + resolved.error().sentence};
    if (resolved->uuid != domain.uuid)
        return {{}, {}, "tidemarkd's answer is about another domain, " + resolved->uuid};
    return {std::move(*resolved), {}, {}};
}

bool is_host_tier(const std::string &path, const domain::HostConfig &config) {
    for (const domain::HostTier &tier : config.tiers)
        if (tier.path == path)
            return true;
    return false;
}

// QEMU would say the same, but only after libvirt has set up everything, and less clearly.
Sentences check_places(const domain::ResolvedDomain &resolved, const domain::HostConfig &config) {
    Sentences problems;
    for (const domain::ResolvedTier &tier : resolved.tiers) {
        struct stat found {};
        const bool there = ::stat(tier.path.c_str(), &found) == 0;
        const std::string begin = "the tier at '" + tier.path + "' ";
        if (!there && errno != ENOENT) {
            problems.push_back(begin + "cannot be looked at: " + std::strerror(errno));
        } else if (is_host_tier(tier.path, config)) {
            // Several guests use it, each with a file of its own.
            if (!there || !S_ISDIR(found.st_mode))
                problems.push_back(begin + (there ? "is no directory" : "does not exist") +
                                   "; a tier of the host must be a directory that QEMU's user "
                                   "can write to");
        } else if (!there) {
            const std::string parent = tier.path.substr(0, tier.path.rfind('/') + 1);
            if (::stat(parent.c_str(), &found) != 0)
                problems.push_back(begin + "does not exist, nor does the directory around it");
        } else if (!S_ISDIR(found.st_mode) && !S_ISBLK(found.st_mode)) {
            problems.push_back(begin + "is neither a directory nor a block device nor new");
        }
    }
    return problems;
}

Sentences check_emulator(const domain::Domain &domain) {
    if (domain.emulator.empty() || emulator_kind(domain.emulator) != EmulatorKind::other)
        return {};
    return {"<emulator> is '" + domain.emulator +
            "', a QEMU without Tidemark (libtidemark.so is not linked to it); name Tidemark's"};
}

Sentences known_problems(const domain::Parsed &parsed) {
    if (!parsed.problems.empty())
        return parsed.problems;
    if (parsed.domain.uuid.empty())
        return {"the domain has no <uuid>"};
    if (!parsed.domain.obstacles.empty())
        return parsed.domain.obstacles;
    return check_emulator(parsed.domain);
}

} // namespace

void warn(const std::string &sentence) {
    std::fprintf(stderr, "tidemark: %s\n", sentence.c_str());
    ::syslog(LOG_WARNING, "%s", sentence.c_str());
}

Sentences check(const domain::Parsed &parsed, const domain::HostConfig &config) {
    Sentences problems = known_problems(parsed);
    if (problems.empty())
        problems = domain::resolve_all(parsed.domain, config).problems;
    return problems;
}

Sentences prepare(const domain::Parsed &parsed, const domain::HostConfig &config) {
    if (Sentences problems = known_problems(parsed); !problems.empty())
        return problems;

    Answer answer = ask_daemon(parsed.domain, config);
    if (!answer.refusal.empty())
        return {answer.refusal};
    if (!answer.resolved) {
        domain::Resolution alone = domain::resolve_all(parsed.domain, config);
        if (!alone.problems.empty())
            return alone.problems;
        if (config.when_down == domain::WhenDown::refuse)
            return {answer.silence + "; when_down is 'refuse', so domain '" + parsed.domain.name +
                    "' does not start without it: start tidemarkd"};
        warn(answer.silence + "; domain '" + parsed.domain.name +
             "' starts with its own settings, and nobody divides DRAM");
        answer.resolved = std::move(alone.resolved);
    }
    if (Sentences problems = check_places(*answer.resolved, config); !problems.empty())
        return problems;
    if (const auto written = write_domain_file(*answer.resolved, config, parsed.domain.dac_label);
        !written)
        return {written.error().sentence};
    return {};
}

} // namespace tidemark::hook
