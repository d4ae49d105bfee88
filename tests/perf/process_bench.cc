// SPDX-License-Identifier: GPL-2.0-or-later
//
// One side of the process bench, one run: plain threads on memory that is tiered, or stock. Prints one JSON
// object per workload. process_level.py starts it, in a cgroup for the sides that need one.
#include "counters.h"
#include "json.h"
#include "memory_side.h"
#include "neighbour.h"
#include "workloads.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <getopt.h>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace tidemark::perf;

constexpr std::uint64_t kMiB = 1ull << 20;

struct Options {
    SideOptions side;
    Settings settings;
    std::vector<std::string> workloads;
};

[[noreturn]] void give_up(const std::string &sentence) {
    std::fprintf(stderr, "process_bench: %s\n", sentence.c_str());
    std::exit(2);
}

const char *const kUsage =
    "usage: process_bench --side tidemark|ram|swap|zram|file --dir FOLDER [--footprint MIB]\n"
    "         [--dram MIB] [--workloads NAME,...] [--ops NAME=COUNT]... [--seed N]\n"
    "         [--policy lru|lfu|fifo] [--no-prefetch] [--no-learning] [--max-seconds S]\n"
    "         [--idle-seconds S] [--tier MIB] [--cold-age S] [--no-reclaim] [--periods N]\n"
    "         [--neighbour-group FILE]\n"
    "One run of one side; the workloads share the memory and happen in the order given.\n"
    "--dram is Tidemark's limit; the hot set of every side is cut from it. --tier is the size of "
    "its tier,\n"
    "the footprint if that is larger.\n";

std::uint64_t number_of(const std::string &option, const std::string &text, std::uint64_t most) {
    char *end = nullptr;
    const unsigned long long value = std::strtoull(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || value == 0 || value > most)
        give_up(option + " " + text + ": expected a number from 1 to " + std::to_string(most));
    return value;
}

double seconds_of(const std::string &option, const std::string &text) {
    char *end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !(value >= 0))
        give_up(option + " " + text + ": expected seconds");
    return value;
}

std::vector<std::string> split(const std::string &list) {
    std::vector<std::string> words;
    std::istringstream stream(list);
    for (std::string word; std::getline(stream, word, ',');)
        words.push_back(word);
    return words;
}

Options parse(int argc, char **argv) {
    Options options;
    options.workloads = Workloads::names();
    options.side.size = 1024 * kMiB;
    static const option known[] = {{"side", required_argument, nullptr, 's'},
                                   {"dir", required_argument, nullptr, 'd'},
                                   {"footprint", required_argument, nullptr, 'f'},
                                   {"dram", required_argument, nullptr, 'm'},
                                   {"workloads", required_argument, nullptr, 'w'},
                                   {"ops", required_argument, nullptr, 'o'},
                                   {"seed", required_argument, nullptr, 'r'},
                                   {"policy", required_argument, nullptr, 'p'},
                                   {"no-prefetch", no_argument, nullptr, 'n'},
                                   {"no-learning", no_argument, nullptr, 'l'},
                                   {"max-seconds", required_argument, nullptr, 'x'},
                                   {"idle-seconds", required_argument, nullptr, 'i'},
                                   {"tier", required_argument, nullptr, 't'},
                                   {"cold-age", required_argument, nullptr, 'a'},
                                   {"no-reclaim", no_argument, nullptr, 'c'},
                                   {"periods", required_argument, nullptr, 'e'},
                                   {"neighbour-group", required_argument, nullptr, 'g'},
                                   {nullptr, 0, nullptr, 0}};
    for (int found; (found = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        const std::string value = optarg == nullptr ? "" : optarg;
        const std::size_t sign = value.find('=');
        switch (found) {
        case 's':
            options.side.side = value;
            break;
        case 'd':
            options.side.folder = value;
            break;
        case 'f':
            options.side.size = number_of("--footprint", value, 1u << 20) * kMiB;
            break;
        case 'm':
            options.side.dram_limit = number_of("--dram", value, 1u << 20) * kMiB;
            break;
        case 'w':
            options.workloads = split(value);
            break;
        case 'o':
            if (sign == std::string::npos)
                give_up("--ops " + value + ": expected NAME=COUNT");
            options.settings.ops[value.substr(0, sign)] =
                number_of("--ops", value.substr(sign + 1), 1ull << 40);
            break;
        case 'r':
            options.settings.seed = number_of("--seed", value, 1ull << 40);
            break;
        case 'p':
            options.side.policy = value;
            break;
        case 'n':
            options.side.prefetch = false;
            break;
        case 'l':
            options.side.learn = false;
            break;
        case 'x':
            options.settings.max_seconds = seconds_of("--max-seconds", value);
            break;
        case 'i':
            options.settings.idle_seconds = seconds_of("--idle-seconds", value);
            break;
        case 't':
            options.side.tier_size = number_of("--tier", value, 1u << 20) * kMiB;
            break;
        case 'a':
            options.side.cold_age =
                static_cast<std::uint32_t>(number_of("--cold-age", value, 604800));
            options.settings.cold_age = options.side.cold_age;
            break;
        case 'c':
            options.side.reclaim = false;
            break;
        case 'e':
            options.settings.periods = number_of("--periods", value, 1000);
            break;
        case 'g':
            options.settings.neighbour_group = value;
            break;
        default:
            std::fputs(kUsage, stderr);
            std::exit(2);
        }
    }
    if (optind != argc || options.side.side.empty() || options.side.folder.empty()) {
        std::fputs(kUsage, stderr);
        std::exit(2);
    }
    for (const std::string &name : options.workloads)
        if (!Workloads::known(name))
            give_up("unknown workload '" + name + "'");
    if (options.side.dram_limit == 0 || options.side.dram_limit > options.side.size)
        options.side.dram_limit = options.side.size;
    options.settings.folder = options.side.folder;
    options.settings.pages = options.side.size / 4096;
    options.settings.dram_pages = options.side.dram_limit / 4096;
    return options;
}

// A field of /proc/self/status, which has kB, in bytes.
std::uint64_t status_bytes(const std::string &field) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind(field + ":", 0) == 0)
            return std::strtoull(line.c_str() + field.size() + 1, nullptr, 10) * 1024;
    return 0;
}

void print(const Options &options, const MemorySide &side, const std::string &name,
           const Result &result, const Counters &spent) {
    const MemorySide::DiskBytes disk = side.disk_bytes(spent);
    const FineHistogram &latency = result.latency;
    JsonObject line;
    line.text("level", "process");
    line.text("side", options.side.side);
    line.text("workload", name);
    line.number("seconds", result.seconds);
    line.number("ops", latency.count());
    line.number("mean_us", latency.mean_ns() / 1e3);
    line.number("p50_us", latency.quantile_ns(0.5) / 1e3);
    line.number("p99_us", latency.quantile_ns(0.99) / 1e3);
    line.number("p999_us", latency.quantile_ns(0.999) / 1e3);
    line.number("read_bytes", disk.read);
    line.number("written_bytes", disk.written);
    line.number("cpu_seconds", spent.cpu_seconds);
    line.boolean("verified", result.bad == 0 && !side.failed());
    JsonObject extra = result.extra;
    extra.boolean("capped", result.capped);
    extra.number("bad", result.bad);
    extra.number("footprint", options.side.size);
    extra.number("rss_bytes", status_bytes("VmRSS"));
    extra.number("page_table_bytes", status_bytes("VmPTE"));
    extra.number("huge_bytes", huge_bytes(side.words(), options.side.size));
    describe(spent, extra);
    side.describe(extra);
    line.object("extra", extra);
    std::printf("%s\n", line.str().c_str());
    std::fflush(stdout);
}

int run(const Options &options) {
    const std::unique_ptr<MemorySide> side = make_side(options.side);
    const CounterReader reader(options.side.folder);
    Workloads workloads(*side, options.settings);
    bool all_good = true;
    const auto run_one = [&](const std::string &name) {
        side->begin();
        const Counters before = reader.read();
        const Result result = workloads.run(name);
        print(options, *side, name, result, reader.read().since(before));
        all_good = all_good && result.bad == 0 && !side->failed();
    };
    for (const std::string &name : options.workloads)
        run_one(name);
    // Every run ends with a look at every byte, whichever workloads were asked for.
    if (!workloads.all_checked())
        run_one("final-check");
    return all_good ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
    if (argc == 4 && std::string(argv[1]) == Neighbour::kArgument)
        Neighbour::be(argv[2], argv[3]);
    const Options options = parse(argc, argv);
    try {
        return run(options);
    } catch (const SideError &error) {
        give_up(error.sentence);
    }
}
