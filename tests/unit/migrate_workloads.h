// SPDX-License-Identifier: GPL-2.0-or-later
//
// Forty guests of 16 MiB on a link of 4 MiB/s, from idle to hopeless, and what is known of each once it was watched.
#pragma once

#include "migrate/write_classes.h"
#include "precopy_guest.h"

#include <cstdio>
#include <random>

namespace tidemark::tests {

inline constexpr std::uint32_t kGuestPages = 4096;
inline constexpr double kLink = 4.0 * (1 << 20);

inline std::string words(const char *what, double a, double b) {
    char text[96];
    std::snprintf(text, sizeof(text), "%s %g, limit %g s", what, a, b);
    return text;
}

inline std::vector<Workload> forty_workloads() {
    std::vector<Workload> all;
    const auto add = [&](std::string name, double limit, std::vector<Writer> writers) {
        all.push_back({std::move(name), kGuestPages, kLink, limit, std::move(writers)});
    };
    for (const double limit : {0.05, 0.3})
        for (const std::uint32_t hot : {32u, 128u, 256u, 512u, 1024u})
            add(words("hot pages", hot, limit), limit, {{0, hot, 100}});
    for (const double limit : {0.1, 0.3})
        for (const double period : {0.5, 2.0, 5.0, 20.0})
            add(words("sweep every s", period, limit), limit, {{500, 1024, 1 / period, true}});
    for (const double limit : {0.1, 0.3})
        for (const double rate : {0.02, 0.1, 1.0, 3.0})
            add(words("random at", rate, limit), limit, {{1000, 2048, rate}});
    for (const double limit : {0.03, 0.3, 1.0})
        add(words("hot, sweep and random", 0, limit), limit,
            {{0, 64, 100}, {500, 1024, 0.2, true}, {2000, 512, 0.05}});
    for (const double limit : {0.1, 0.3}) {
        add(words("hot, quiet in 70 s", 0, limit), limit, {{0, 512, 50, false, 200, 100, 30}});
        add(words("hot, quiet in 15 s", 0, limit), limit, {{0, 512, 50, false, 60, 30, 15}});
        add(words("random, quiet in 80 s", 0, limit), limit, {{0, 3000, 2, false, 400, 100, 20}});
    }
    for (const double limit : {0.1, 2.0})
        add(words("idle", 0, limit), limit, {});
    for (const double limit : {0.05, 0.5, 1.0})
        add(words("all of it at", 2, limit), limit, {{0, kGuestPages, 2}});
    return all;
}

// How long it has to be watched: cycles four times around, so that it stands where it began.
inline double watching_time(const Workload &load) {
    double seconds = 30;
    for (const Writer &w : load.writers)
        seconds = std::max(seconds, 4 * w.cycle);
    return seconds;
}

// What the learner knows of it after so long.
inline WriteModel watched(const Workload &load, std::uint64_t seed) {
    PageGuest guest(load, 0, seed);
    Writes writes(kSecond);
    WritePhases phases;
    writes.add_block(0, load.pages);
    writes.baseline();
    Pages found(load.pages);
    const auto end = std::uint64_t(watching_time(load) / kMillisecond);
    for (std::uint64_t tick = 0, next = 0; tick < end; ++tick) {
        guest.tick(double(tick) * kMillisecond);
        if (tick < next)
            continue;
        const Nanos now = kSecond + tick * (kSecond / 1000);
        found.assign(load.pages, 0);
        guest.sync(found);
        std::vector<unsigned long> words(load.pages / 64);
        for (std::size_t page = 0; page < load.pages; ++page)
            words[page / 64] |= static_cast<unsigned long>(found[page]) << page % 64;
        writes.begin(now);
        writes.dirty(0, 0, words);
        next = tick + writes.end(now) / (kSecond / 1000);
        phases.see(double(now) * 1e-9, writes.found_per_second());
    }
    WriteModel model = classes_of(writes, phases.cycle(double(writes.looked()) * 1e-9));
    pend_all(model);
    return model;
}

// What a good learner knows of it: the truth within a tenth.
inline WriteModel learnt(const Workload &load, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    WriteModel model;
    model.watched = 100;
    model.looks = 100;
    double written = 0;
    for (const Writer &w : load.writers) {
        WriteClass c;
        c.pages = c.pending = w.count;
        c.rate = w.rate * std::uniform_real_distribution<>(0.9, 1.1)(random);
        c.regular = w.sweep;
        c.cycle = w.cycle;
        c.busy = w.busy;
        c.position = w.position;
        c.doubt = 0.1;
        written += c.pages;
        model.classes.push_back(c);
    }
    WriteClass rest;
    rest.pages = rest.pending = load.pages - written;
    model.classes.push_back(rest);
    return model;
}

} // namespace tidemark::tests
