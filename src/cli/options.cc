// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/options.h"

#include "cli/commands.h"
#include "cli/completion.h"
#include "domain/policy.h"
#include "domain/recording.h"
#include "domain/size.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <memory>

namespace tidemark::cli {
namespace {

const char *const kFooter = "tidemark COMMAND --help tells more; `man tidemark` has examples.\n"
                            "Ends with 0: done, 1: refused or something is wrong, 2: wrong command "
                            "line, 3: the daemon does not answer.";

// All that may be typed, in one place that outlives parsing.
struct Typed {
    Session session;
    double timeout_s = 10;
    TopOptions top;
    PolicyOptions policy;
    Target target;
    PrefetchOptions prefetch;
    DoctorOptions doctor;
    ForecastTerms forecast;
    std::string guest, group, name, file, from, shell, kind;
    std::uint32_t seconds = 0;
    std::function<Exit()> chosen;
};

// The help shows "lru|lfu|fifo", and the completion offers these words.
CLI::Option *one_of(CLI::Option *option, const std::vector<std::string> &words) {
    return option->check(CLI::IsMember(words).description(""))
        ->type_name(CLI::detail::join(words, "|"));
}

template <typename T> CLI::Option *between(CLI::Option *option, T low, T high, const char *type) {
    const std::string bounds = std::string(type) + " (" + CLI::detail::to_string(low) + " to " +
                               CLI::detail::to_string(high) + ")";
    return option->check(CLI::Range(low, high).description(""))->type_name(bounds);
}

CLI::App *command(CLI::App &parent, Typed &typed, const char *name, const char *what,
                  std::function<Exit()> run) {
    CLI::App *app = parent.add_subcommand(name, what);
    app->fallthrough();
    app->callback([&typed, run = std::move(run)] { typed.chosen = run; });
    return app;
}

CLI::App *family(CLI::App &parent, const char *name, const char *what) {
    CLI::App *app = parent.add_subcommand(name, what);
    app->fallthrough();
    app->require_subcommand(1);
    return app;
}

void add_switch(CLI::App *app, const char *option, std::optional<bool> &value, const char *what) {
    one_of(app->add_option_function<std::string>(
               option, [&value](const std::string &text) { value = text == "on"; }, what),
           {"on", "off"});
}

void add_number(CLI::App *app, const char *option, std::optional<std::uint32_t> &value,
                std::uint32_t low, std::uint32_t high, const char *what) {
    between(app->add_option_function<std::uint32_t>(
                option, [&value](const std::uint32_t &number) { value = number; }, what),
            low, high, "NUMBER");
}

void add_amount(CLI::App *app, const char *option, std::optional<std::string> &value,
                const char *what) {
    app->add_option_function<std::string>(
           option,
           [&value, option](const std::string &text) {
               if (const auto amount = domain::parse_amount(text); !amount)
                   throw CLI::ValidationError(option, amount.error().sentence);
               value = text;
           },
           what)
        ->type_name("SIZE");
}

void add_group_policy(CLI::App *app, PolicyOptions &policy) {
    one_of(app->add_option_function<std::string>(
               "--eviction", [&policy](const std::string &text) { policy.eviction = text; },
               "which page leaves DRAM first"),
           {"lru", "lfu", "fifo"});
    add_switch(app, "--prefetch", policy.prefetch, "predictors may bring pages in");
    add_number(app, "--window", policy.window_s, 1, domain::kWindowMost,
               "seconds that forecasts look ahead; the nearest of 5 to 30 is taken");
    add_number(app, "--cold", policy.cold_s, 1, domain::kColdMost,
               "seconds after which an unused page leaves DRAM");
    add_switch(app, "--reuse", policy.reuse, "stored and reported; has no effect yet");
    add_switch(app, "--learn-writes", policy.learn_writes,
               "watch what it writes, for forecasts of a migration");
    add_number(app, "--priority", policy.priority, 1, domain::kPriorityMost,
               "its weight when DRAM is shared out");
}

void add_guest_policy(CLI::App *app, PolicyOptions &policy) {
    add_group_policy(app, policy);
    add_amount(app, "--dram", policy.dram, "DRAM it may use, or % of its memory (guests only)");
    add_amount(app, "--floor", policy.floor, "DRAM it keeps in any case (guests only)");
    add_number(app, "--slowdown", policy.slowdown_permille, 0, domain::kSlowdownMost,
               "per mille of its time it may lose to memory taken without need (guests only)");
    add_switch(app, "--learn", policy.learn, "keep a profile and forecast from it (guests only)");
}

void add_looking(CLI::App &app, Typed &typed) {
    Typed *t = &typed;
    command(app, typed, "status", "the host: guests, DRAM, tiers",
            [t] { return run_status(t->session); });
    CLI::App *top = command(app, typed, "top", "the guests, live; q quits",
                            [t] { return run_top(t->session, t->top); });
    top->add_flag("--once", typed.top.once, "print one frame and end");
    between(top->add_option("--interval", typed.top.interval_s, "seconds between two frames"), 0.5,
            3600.0, "SECONDS");
    one_of(top->add_option("--sort", typed.top.sort, "column to sort by"),
           {"dram", "faults", "latency", "name"});
    command(app, typed, "tiers", "the host's tiers", [t] { return run_tiers(t->session); });
    CLI::App *guests = family(app, "guests", "guests of this host");
    command(*guests, typed, "list", "all guests", [t] { return run_guests_list(t->session); });
    command(*guests, typed, "show", "one guest",
            [t] { return run_guests_show(t->session, t->guest); })
        ->add_option("guest", typed.guest, "name or UUID")
        ->required()
        ->type_name("GUEST");
    CLI::App *profile = command(app, typed, "profile", "how a guest uses its memory",
                                [t] { return run_profile(t->session, t->guest); });
    profile->add_option("guest", typed.guest, "name or UUID")->required()->type_name("GUEST");
    command(app, typed, "similar", "guests of its group, and how much they are alike",
            [t] { return run_guests_similar(t->session, t->guest); })
        ->add_option("guest", typed.guest, "name or UUID")
        ->required()
        ->type_name("GUEST");
}

void add_groups(CLI::App &app, Typed &typed) {
    Typed *t = &typed;
    CLI::App *groups = family(app, "groups", "affinity groups");
    const auto with_group = [t](CLI::App *sub) {
        sub->add_option("group", t->group, "name or UUID")->required()->type_name("GROUP");
        return sub;
    };
    const auto with_guest = [t](CLI::App *sub) {
        sub->add_option("guest", t->guest, "name or UUID")->required()->type_name("GUEST");
        return sub;
    };
    command(*groups, typed, "list", "all groups", [t] { return run_groups_list(t->session); });
    with_group(command(*groups, typed, "show", "one group with its members",
                       [t] { return run_groups_show(t->session, t->group); }));
    CLI::App *create = command(*groups, typed, "create", "make a group",
                               [t] { return run_groups_create(t->session, t->name, t->policy); });
    create->add_option("name", typed.name, "of the group")->required()->type_name("NEW-NAME");
    add_group_policy(create, typed.policy);
    CLI::App *set = with_group(command(*groups, typed, "set", "change a group", [t] {
        return run_groups_set(t->session, t->group, t->name, t->policy);
    }));
    set->add_option("--name", typed.name, "a new name")->type_name("NEW-NAME");
    add_group_policy(set, typed.policy);
    with_group(command(*groups, typed, "rename", "give a group another name",
                       [t] { return run_groups_set(t->session, t->group, t->name, {}); }))
        ->add_option("name", typed.name, "its new name")
        ->required()
        ->type_name("NEW-NAME");
    with_group(command(*groups, typed, "delete", "dissolve a group; its guests run on",
                       [t] { return run_groups_delete(t->session, t->group); }));
    with_guest(with_group(command(*groups, typed, "add", "put a guest into a group",
                                  [t] { return run_groups_add(t->session, t->group, t->guest); })));
    with_guest(with_group(command(*groups, typed, "remove", "take a guest out of a group", [t] {
        return run_groups_remove(t->session, t->group, t->guest);
    })));
}

void add_policy(CLI::App &app, Typed &typed) {
    Typed *t = &typed;
    CLI::App *policy = family(app, "policy", "what guests and groups are set to");
    CLI::App *show = command(*policy, typed, "show", "what is in force",
                             [t] { return run_policy_show(t->session, t->target); });
    CLI::App *set = command(*policy, typed, "set", "change it, at once",
                            [t] { return run_policy_set(t->session, t->target, t->policy); });
    for (CLI::App *sub : {show, set}) {
        sub->add_option("name", typed.target.name, "a guest's name or UUID; with --group a group's")
            ->required()
            ->type_name("NAME");
        sub->add_flag("--group", typed.target.group, "NAME is a group");
    }
    add_guest_policy(set, typed.policy);
}

void add_steering(CLI::App &app, Typed &typed) {
    Typed *t = &typed;
    const auto with_guest = [t](CLI::App *sub) {
        sub->add_option("guest", t->guest, "name or UUID")->required()->type_name("GUEST");
        return sub;
    };
    CLI::App *prefetch =
        with_guest(command(app, typed, "prefetch", "bring memory in before it is used",
                           [t] { return run_prefetch(t->session, t->guest, t->prefetch); }));
    prefetch
        ->add_option("--range", typed.prefetch.ranges, "what to bring in, several times if needed")
        ->type_name("OFFSET:LENGTH");
    one_of(prefetch->add_option("--tier", typed.prefetch.tier, "where to"), {"dram", "nvme"});
    prefetch
        ->add_option_function<double>(
            "--confidence",
            [t](const double &value) {
                if (!(value > 0 && value <= 1))
                    throw CLI::ValidationError("--confidence", "it must be above 0 and at most 1");
                t->prefetch.confidence = value;
            },
            "how sure its use is")
        ->type_name("SHARE (above 0, at most 1)");
    prefetch->add_flag("--cancel", typed.prefetch.cancel,
                       "take back what is ordered and not there yet");
    CLI::App *record =
        with_guest(command(app, typed, "record", "record the working set of a boot or a job",
                           [t] { return run_record(t->session, t->guest, t->seconds); }));
    between(record->add_option("seconds", typed.seconds, "for how long")->required(), 1U,
            domain::kRecordMost, "SECONDS");
    CLI::App *replay =
        with_guest(command(app, typed, "replay", "bring back what was recorded",
                           [t] { return run_replay(t->session, t->guest, t->from); }));
    replay->add_option("--from", typed.from, "what another guest of its group recorded")
        ->type_name("GUEST");
}

void add_migration(CLI::App &app, Typed &typed) {
    Typed *t = &typed;
    CLI::App *forecast =
        command(app, typed, "migrate-forecast", "what a live migration of a guest would cost",
                [t] { return run_migrate_forecast(t->session, t->guest, t->forecast); });
    forecast->add_option("guest", typed.guest, "name or UUID")->required()->type_name("GUEST");
    forecast
        ->add_option_function<std::string>(
            "--bandwidth",
            [t](const std::string &text) {
                const auto bytes = domain::parse_size(text);
                if (!bytes || *bytes == 0)
                    throw CLI::ValidationError("--bandwidth", bytes ? "it must be more than 0"
                                                                    : bytes.error().sentence);
                t->forecast.bandwidth = *bytes;
            },
            "bytes a second to reckon with")
        ->type_name("SIZE");
    between(forecast->add_option_function<std::uint64_t>(
                "--downtime",
                [t](const std::uint64_t &number) { t->forecast.downtime_ms = number; },
                "milliseconds that the guest may stand still"),
            std::uint64_t{1}, std::uint64_t{2000000}, "MILLISECONDS");
}

void add_checking(CLI::App &app, Typed &typed) {
    Typed *t = &typed;
    command(app, typed, "validate", "check the tidemark element of a domain's XML",
            [t] { return run_validate(t->session, t->file); })
        ->add_option("file", typed.file, "domain XML, or the element alone; - reads standard input")
        ->required()
        ->type_name("FILE");
    CLI::App *doctor = command(app, typed, "doctor", "check this host, and say how to mend it",
                               [t] { return run_doctor(t->session, t->doctor); });
    doctor->add_flag("--fix", typed.doctor.fix,
                     "also do what is safe: folders, udev rule, hook, qemu.conf");
    doctor->add_option("--emulator", typed.doctor.emulator, "the QEMU to look at")
        ->type_name("FILE");
    doctor->add_option("--root", typed.doctor.root, "look at the system below this folder")
        ->group("");
}

void add_shell(CLI::App &app, Typed &typed) {
    Typed *t = &typed;
    CLI::App *root = &app;
    command(app, typed, "completion", "print completions for a shell",
            [root] {
                std::fputs(bash_completion(*root).c_str(), stdout);
                return Exit::ok;
            })
        ->add_option("shell", typed.shell, "which")
        ->required()
        ->check(CLI::IsMember({"bash"}).description(""))
        ->type_name("bash");
    CLI::App *names = command(app, typed, "names", "names for completions",
                              [t] { return run_names(t->session, t->kind); });
    names->group("");
    names->add_option("kind", typed.kind)->required()->check(CLI::IsMember({"groups", "guests"}));
}

void add_global(CLI::App &app, Typed &typed) {
    app.set_version_flag("--version", TIDEMARK_VERSION);
    app.add_flag("--json", typed.session.json, "print JSON");
    app.add_option("--socket", typed.session.socket, "the daemon's socket")->type_name("PATH");
    app.add_option("--config", typed.session.config, "instead of /etc/tidemark/tidemark.toml")
        ->type_name("FILE");
    between(app.add_option("--timeout", typed.timeout_s, "seconds to wait for the daemon"), 0.1,
            600.0, "SECONDS");
    app.require_subcommand(1);
    app.footer(kFooter);
}

} // namespace

int run(int argc, char **argv) {
    CLI::App app("Tiered guest memory on this host", "tidemark");
    Typed typed;
    add_global(app, typed);
    add_looking(app, typed);
    add_groups(app, typed);
    add_policy(app, typed);
    add_steering(app, typed);
    add_migration(app, typed);
    add_checking(app, typed);
    add_shell(app, typed);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return static_cast<int>(app.exit(error) == 0 ? Exit::ok : Exit::usage);
    }
    typed.session.deadline = std::chrono::milliseconds(static_cast<int>(typed.timeout_s * 1000));
    Exit exit = typed.chosen();
    // A full disk behind a redirection must not look like success.
    if (std::fflush(stdout) != 0 && exit == Exit::ok) {
        std::fputs("tidemark: the output could not be written\n", stderr);
        exit = Exit::failed;
    }
    return static_cast<int>(exit);
}

} // namespace tidemark::cli
