// SPDX-License-Identifier: GPL-2.0-or-later
#include "counters.h"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <vector>

namespace tidemark::perf {

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kSector = 512;

double seconds_of(const timeval &time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// The number behind a word at the start of a line ("pswpin 12", "read_bytes: 4096").
std::uint64_t number_after(std::ifstream file, std::string_view word) {
    std::string name;
    std::uint64_t value = 0;
    while (file >> name >> value)
        if (name == word)
            return value;
    return 0;
}

void read_process(Counters &out) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    out.kernel_seconds = seconds_of(usage.ru_stime);
    out.cpu_seconds = seconds_of(usage.ru_utime) + out.kernel_seconds;
    out.minor_faults = static_cast<std::uint64_t>(usage.ru_minflt);
    out.major_faults = static_cast<std::uint64_t>(usage.ru_majflt);
    out.process_read = number_after(std::ifstream("/proc/self/io"), "read_bytes:");
}

void read_threads(Counters &out) {
    std::error_code gone; // a thread may end meanwhile
    for (const auto &task : std::filesystem::directory_iterator("/proc/self/task", gone)) {
        std::string name;
        std::uint64_t ns = 0;
        std::ifstream(task.path() / "schedstat") >> ns;
        std::getline(std::ifstream(task.path() / "comm"), name);
        // Numbered threads do the same work.
        while (!name.empty() && (std::isdigit(static_cast<unsigned char>(name.back())) != 0))
            name.pop_back();
        out.threads[name] += static_cast<double>(ns) / 1e9;
    }
}

void read_machine(Counters &out, const std::string &disk_stat) {
    out.swapped_in = kPage * number_after(std::ifstream("/proc/vmstat"), "pswpin");
    out.swapped_out = kPage * number_after(std::ifstream("/proc/vmstat"), "pswpout");
    std::ifstream disk(disk_stat);
    std::vector<std::uint64_t> fields(7);
    for (std::uint64_t &field : fields)
        disk >> field;
    out.disk_read = fields[2] * kSector;
    out.disk_written = fields[6] * kSector;

    std::ifstream stat("/proc/stat");
    std::string cpu;
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0;
    stat >> cpu >> user >> nice >> system >> idle >> wait >> irq >> softirq;
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    out.machine_kernel_seconds = (system + irq + softirq) / ticks;
    out.machine_cpu_seconds = (user + nice) / ticks + out.machine_kernel_seconds;
}

} // namespace

Counters Counters::since(const Counters &before) const {
    Counters spent;
    spent.cpu_seconds = cpu_seconds - before.cpu_seconds;
    spent.kernel_seconds = kernel_seconds - before.kernel_seconds;
    spent.minor_faults = minor_faults - before.minor_faults;
    spent.major_faults = major_faults - before.major_faults;
    spent.process_read = process_read - before.process_read;
    spent.swapped_in = swapped_in - before.swapped_in;
    spent.swapped_out = swapped_out - before.swapped_out;
    spent.disk_read = disk_read - before.disk_read;
    spent.disk_written = disk_written - before.disk_written;
    spent.machine_cpu_seconds = machine_cpu_seconds - before.machine_cpu_seconds;
    spent.machine_kernel_seconds = machine_kernel_seconds - before.machine_kernel_seconds;
    for (const auto &[name, seconds] : threads) {
        const auto earlier = before.threads.find(name);
        spent.threads[name] = seconds - (earlier == before.threads.end() ? 0 : earlier->second);
    }
    return spent;
}

CounterReader::CounterReader(const std::string &folder) {
    struct stat info {};
    if (stat(folder.c_str(), &info) != 0)
        return;
    const std::string name = "/sys/dev/block/" + std::to_string(major(info.st_dev)) + ":" +
                             std::to_string(minor(info.st_dev)) + "/stat";
    if (access(name.c_str(), R_OK) == 0)
        disk_stat_ = name;
}

Counters CounterReader::read() const {
    Counters out;
    read_machine(out, disk_stat_);
    read_threads(out);
    read_process(out);
    return out;
}

void describe(const Counters &spent, JsonObject &extra) {
    extra.number("kernel_seconds", spent.kernel_seconds);
    extra.number("minor_faults", spent.minor_faults);
    extra.number("major_faults", spent.major_faults);
    extra.number("disk_read_bytes", spent.disk_read);
    extra.number("disk_written_bytes", spent.disk_written);
    extra.number("machine_cpu_seconds", spent.machine_cpu_seconds);
    extra.number("machine_kernel_seconds", spent.machine_kernel_seconds);
    JsonObject threads;
    for (const auto &[name, seconds] : spent.threads)
        threads.number(name, seconds);
    extra.object("thread_cpu_seconds", threads);
}

std::int64_t huge_bytes(const void *address, std::uint64_t size) {
    // From include/uapi/linux/fs.h, which Debian 12's headers do not have yet.
    struct Region {
        std::uint64_t start, end, categories;
    };
    struct Scan {
        std::uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
        std::uint64_t inverted, all_of, any_of, returned;
    };
    constexpr std::uint64_t kHuge = 1u << 6;
    const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return -1;
    std::vector<Region> regions(512);
    std::uint64_t found = 0;
    const auto first = reinterpret_cast<std::uint64_t>(address);
    Scan scan{};
    scan.size = sizeof(scan);
    scan.start = first;
    scan.end = first + size;
    scan.regions = reinterpret_cast<std::uint64_t>(regions.data());
    scan.region_count = regions.size();
    scan.all_of = kHuge;
    scan.returned = kHuge;
    int count = 0;
    while (scan.start < scan.end && (count = ioctl(pagemap, _IOWR('f', 16, Scan), &scan)) >= 0) {
        for (int i = 0; i < count; ++i)
            found += regions[static_cast<std::size_t>(i)].end -
                     regions[static_cast<std::size_t>(i)].start;
        scan.start = scan.walk_end;
    }
    close(pagemap);
    return count < 0 ? -1 : static_cast<std::int64_t>(found);
}

std::vector<bool> mapped_pages(const void *address, std::uint64_t pages) {
    constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
    const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return {};
    std::vector<bool> out(pages);
    std::vector<std::uint64_t> entries(4096);
    const std::uint64_t first = reinterpret_cast<std::uint64_t>(address) / 4096;
    ssize_t got = 0;
    for (std::uint64_t page = 0; page < pages; page += static_cast<std::uint64_t>(got) / 8) {
        const std::uint64_t count = std::min<std::uint64_t>(entries.size(), pages - page);
        got = pread(pagemap, entries.data(), count * 8, static_cast<off_t>((first + page) * 8));
        if (got < 8)
            break;
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(got) / 8; ++i)
            out[page + i] = (entries[i] & kPresent) != 0;
    }
    close(pagemap);
    return got < 8 ? std::vector<bool>{} : out;
}

} // namespace tidemark::perf
