// SPDX-License-Identifier: GPL-2.0-or-later
//
// The memory that the workloads run on: what the sides of the comparison differ in.
#pragma once

#include "counters.h"
#include "json.h"

#include <cstdint>
#include <memory>
#include <string>

namespace tidemark::perf {

struct SideOptions {
    std::string side;   // tidemark, ram, swap, zram or file
    std::string folder; // on the measured disk: tier files, or the mapped file
    std::uint64_t size = 0;
    std::uint64_t dram_limit = 0; // for tidemark; the others' is their cgroup's
    std::string policy = "lru";
    bool prefetch = true;
    bool learn = true;           // keep a profile, and forecast from it
    std::uint64_t tier_size = 0; // of tidemark's one tier; 0: as large as the memory
    std::uint32_t cold_age = 0;  // seconds; 0: the engine's own
    bool reclaim = true;         // what is cold leaves without being asked to
};

// Thrown with a sentence when a side can't be set up here.
struct SideError {
    std::string sentence;
};

// What a side's engine says it has done, to tell the kinds of faults apart.
struct FaultCounts {
    std::uint64_t all = 0;
    std::uint64_t untouched = 0;
    std::uint64_t staged = 0;
    std::uint64_t stored = 0;
};

class MemorySide {
  public:
    virtual ~MemorySide() = default;
    MemorySide() = default;
    MemorySide(const MemorySide &) = delete;
    MemorySide &operator=(const MemorySide &) = delete;

    virtual std::uint64_t *words() const = 0;

    // Marks the start of a workload for disk_bytes() and describe().
    virtual void begin() {}
    // What went to and from the disk for this memory since begin().
    struct DiskBytes {
        std::uint64_t read = 0;
        std::uint64_t written = 0;
    };
    virtual DiskBytes disk_bytes(const Counters &spent) const = 0;
    // Facts of its own for a measurement's "extra".
    virtual void describe(JsonObject &) const {}
    virtual FaultCounts faults() const { return {}; }

    // Everything leaves DRAM; how much may be in it is as before afterwards.
    virtual void evict_all() = 0;
    // The content of these pages is given up, as a guest does that reports free pages: they read as zeros.
    virtual void discard(std::size_t page, std::size_t count) = 0;
    // Working sets, where a side has them: which pages come into DRAM between record() and save() goes to a
    // file; replay() brings them back from there, and returns when they have come.
    virtual void record() {}
    virtual void save(const std::string &) {}
    virtual void replay(const std::string &) {}
    // Bytes of the memory that are in DRAM, mapped or not; only Tidemark counts them.
    virtual std::uint64_t dram_used() const { return 0; }
    // It is known that the page holds zeros only, so that it needs no place anywhere.
    virtual bool known_zero(std::size_t) const { return false; }

    // Its disk refused something: the run's figures are void.
    virtual bool failed() const { return false; }
};

std::unique_ptr<MemorySide> make_side(const SideOptions &options);

// The tidemark side, in a file of its own.
std::unique_ptr<MemorySide> make_tidemark_side(const SideOptions &options);

// Anonymous memory as QEMU allocates a guest's: aligned to huge pages, which are asked for.
class AnonymousMap {
  public:
    explicit AnonymousMap(std::uint64_t size);
    ~AnonymousMap();
    AnonymousMap(const AnonymousMap &) = delete;
    AnonymousMap &operator=(const AnonymousMap &) = delete;
    std::uint64_t *words() const { return words_; }

  private:
    void *map_ = nullptr;
    std::uint64_t map_bytes_ = 0;
    std::uint64_t *words_ = nullptr;
};

} // namespace tidemark::perf
