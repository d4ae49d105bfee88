// SPDX-License-Identifier: GPL-2.0-or-later
//
// tidemark-hook NAME OPERATION SUB-OPERATION EXTRA, with the domain's XML on stdin; libvirt calls
// /etc/libvirt/hooks/qemu.d/tidemark (tidemark.in), and that calls this.
//
// What libvirt makes of it decides the rules here:
// - It waits for the hook, with the domain locked: no call to libvirt, short deadlines.
// - A hook that fails at `reconnect` or `started` has its running guest killed: those never fail, not even
//   if this program crashes.
// - What is printed at `migrate` and `restore` becomes the domain: nothing ever goes to stdout.
// - It is called for every domain of the host: one that is not ours costs a search in its text.
#include "client/client.h"
#include "domain/domain.h"
#include "domain/host_config.h"
#include "domain_file.h"
#include "prepare.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

namespace {

using namespace tidemark;
using hook::warn;

constexpr std::size_t kStdinMost = 16U << 20;
// libvirtd says `reconnect` once for each guest, one after the other.
constexpr std::chrono::milliseconds kTellDeadline{100};
// For what must not fail; it takes milliseconds.
constexpr unsigned kShieldSeconds = 2;

enum class Operation { prepare, check, started, stopped, release, reconnect, other };

Operation operation_of(std::string_view name) {
    if (name == "prepare")
        return Operation::prepare;
    if (name == "migrate" || name == "restore")
        return Operation::check;
    if (name == "started")
        return Operation::started;
    if (name == "stopped")
        return Operation::stopped;
    if (name == "release")
        return Operation::release;
    if (name == "reconnect")
        return Operation::reconnect;
    return Operation::other;
}

bool may_fail(Operation operation) {
    return operation == Operation::prepare || operation == Operation::check;
}

// To the end, so that libvirt never writes into a closed pipe; what is beyond the bound is dropped.
std::string read_stdin() {
    std::string text;
    std::array<char, 64U << 10> piece;
    for (;;) {
        const ssize_t got = ::read(STDIN_FILENO, piece.data(), piece.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return text;
        if (text.size() < kStdinMost)
            text.append(piece.data(), static_cast<std::size_t>(got));
    }
}

// Without a parser: libvirt writes it this way.
std::string uuid_in(std::string_view xml) {
    constexpr std::string_view kTag = "<uuid>";
    const std::size_t at = xml.find(kTag);
    return at == std::string_view::npos ? std::string{}
                                        : std::string(xml.substr(at + kTag.size(), 36));
}

std::string config_path() {
    const char *path = std::getenv("TIDEMARK_CONFIG");
    return path == nullptr ? "" : path;
}

// For those operations that go on whatever the file says.
domain::HostConfig config_or_default() {
    auto config = domain::load_config(config_path());
    if (config)
        return *config;
    domain::HostConfig fallback;
    if (const char *run = std::getenv("TIDEMARK_RUN"); run != nullptr && *run != '\0')
        fallback.run_dir = run;
    return fallback;
}

// A domain that is not ours (no more, perhaps) must leave no file: QEMU would follow it.
int not_ours(Operation operation, const std::string &uuid) {
    const bool slash = uuid.find('/') != std::string::npos;
    if (uuid.size() == 36 && !slash &&
        (operation == Operation::prepare || operation == Operation::release))
        hook::remove_domain_file(config_or_default(), uuid);
    return 0;
}

int refuse(const std::vector<std::string> &problems) {
    for (const std::string &each : problems) {
        std::fprintf(stderr, "tidemark: %s\n", each.c_str());
        ::syslog(LOG_ERR, "%s", each.c_str());
    }
    return problems.empty() ? 0 : 1;
}

// With what the domain is now: a daemon that was not there at `prepare` has not heard it. It need not
// be there at all: it looks for itself when it starts.
void tell(const domain::HostConfig &config, const domain::Domain &domain, const char *what) {
    const auto reply = client::request(
        config.api_socket(), "POST", "/api/v1/domains/" + client::escape(domain.uuid) + "/" + what,
        domain::to_json_text(domain), kTellDeadline);
    if (!reply)
        ::syslog(LOG_INFO, "%s of %s: %s", what, domain.uuid.c_str(),
                 reply.error().sentence.c_str());
}

int run(Operation operation, const std::string &xml) {
    if (!domain::mentions_us(xml))
        return not_ours(operation, uuid_in(xml));

    const domain::Parsed parsed = domain::parse_domain(xml);
    const std::string &uuid = parsed.domain.uuid;
    if (parsed.problems.empty() && !parsed.domain.element)
        return not_ours(operation, uuid);
    if (may_fail(operation)) {
        const auto config = domain::load_config(config_path());
        if (!config)
            return refuse({config.error().sentence});
        return refuse(operation == Operation::prepare ? hook::prepare(parsed, *config)
                                                      : hook::check(parsed, *config));
    }
    if (uuid.empty())
        return 0;
    const domain::HostConfig config = config_or_default();
    if (operation == Operation::started)
        tell(config, parsed.domain, "started");
    else if (operation == Operation::stopped)
        tell(config, parsed.domain, "stopped");
    else if (operation == Operation::reconnect)
        tell(config, parsed.domain, "reconnect");
    else
        hook::remove_domain_file(config, uuid);
    return 0;
}

int run_caught(Operation operation, const std::string &xml) {
    try {
        return run(operation, xml);
    } catch (const std::exception &problem) {
        warn(std::string("internal error: ") + problem.what());
    } catch (...) {
        warn("internal error");
    }
    return 1;
}

// In a process of its own: even if it crashes or hangs, the guest lives.
void run_shielded(Operation operation, const std::string &xml) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(kShieldSeconds);
        ::_exit(run_caught(operation, xml));
    }
    int status = 0;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        ::syslog(LOG_ERR, "an operation failed; the guest goes on without it");
}

bool concerns(Operation operation, bool ours) {
    if (ours)
        return operation != Operation::other;
    return operation == Operation::prepare || operation == Operation::release;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 3) {
        std::fprintf(stderr,
                     "usage: %s NAME OPERATION SUB-OPERATION EXTRA < domain.xml\n"
                     "This is a hook: libvirt calls it from /etc/libvirt/hooks/qemu.d.\n",
                     argc > 0 ? argv[0] : "tidemark-hook");
        return 2;
    }
    ::openlog("tidemark-hook", LOG_PID, LOG_DAEMON);
    std::signal(SIGPIPE, SIG_IGN);
    const Operation operation = operation_of(argv[2]);
    const std::string xml = read_stdin();
    const bool ours = domain::mentions_us(xml);
    if (!concerns(operation, ours))
        return 0;
    if (ours && may_fail(operation))
        return run_caught(operation, xml);
    run_shielded(operation, xml);
    return 0;
}
