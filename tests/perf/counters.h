// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel counts while a workload runs: bytes to and from the disk, CPU time, page faults.
#pragma once

#include "json.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tidemark::perf {

struct Counters {
    // This process
    double cpu_seconds = 0; // user and kernel, all threads, the engine's too
    double kernel_seconds = 0;
    std::uint64_t minor_faults = 0;
    std::uint64_t major_faults = 0;
    std::uint64_t process_read =
        0; // bytes that this process had read from a disk, reading ahead included
    // The whole machine
    std::uint64_t swapped_in = 0;
    std::uint64_t swapped_out = 0;
    std::uint64_t disk_read = 0; // the disk that the given folder is on
    std::uint64_t disk_written = 0;
    double machine_cpu_seconds = 0;
    double machine_kernel_seconds = 0;
    // CPU seconds of the threads that are alive, by name
    std::map<std::string, double> threads;

    Counters since(const Counters &before) const;
};

// Reads the counters; the disk's are those of the disk that a folder is on.
class CounterReader {
  public:
    explicit CounterReader(const std::string &folder);
    Counters read() const;

  private:
    std::string disk_stat_; // empty if the folder is not on a block device
};

// What goes into a measurement's "extra", whatever the side.
void describe(const Counters &spent, JsonObject &extra);

// Bytes of [address, address + size) that huge pages map, from the kernel's PAGEMAP_SCAN; -1 where
// the kernel has none (before 6.7).
std::int64_t huge_bytes(const void *address, std::uint64_t size);

// Which of the pages from an address on are mapped now; empty if the kernel doesn't say.
std::vector<bool> mapped_pages(const void *address, std::uint64_t pages);

} // namespace tidemark::perf
