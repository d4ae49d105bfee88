// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest that writes its memory by a timetable, and its dirty log. Time is simulated: nothing here waits, and the
// same timetable gives the same result on any machine.
#pragma once

#include "migrate/page_writes.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::sim {

// Writes pages [first, first + count), one each `interval`: around and around, or any of them.
struct Writer {
    std::uint32_t first = 0, count = 0;
    Nanos interval = 0;
    bool random = false;
    bool silent = false; // with what they already hold
    Nanos from = 0, until = std::numeric_limits<Nanos>::max();

    std::uint32_t page(std::uint64_t k) const {
        std::uint64_t place = k;
        if (random) {
            place = (k + 1) * 0x9e3779b97f4a7c15;
            place = (place ^ place >> 31) * 0xbf58476d1ce4e5b9;
            place ^= place >> 29;
        }
        return first + static_cast<std::uint32_t>(place % count);
    }
    Nanos time(std::uint64_t k) const { return from + k * interval; }
};

// A full round of `count` pages in `round` nanoseconds.
inline Writer walk(std::uint32_t first, std::uint32_t count, Nanos round) {
    return {first, count, round / count};
}
inline Writer anywhere(std::uint32_t first, std::uint32_t count, Nanos round) {
    return {first, count, round / count, true};
}

struct Workload {
    std::string name;
    std::uint32_t pages = 0;
    std::vector<Writer> writers;
};

class Guest {
  public:
    explicit Guest(const Workload &workload)
        : pages_(workload.pages), writers_(workload.writers), written_(writers_.size()),
          content_(pages_), log_((pages_ + 63) / 64) {}

    std::uint32_t pages() const { return pages_; }
    Nanos now() const { return now_; }
    std::uint64_t content(std::uint64_t page) const { return content_[page]; }

    void run(Nanos duration) {
        now_ += duration;
        for (std::size_t i = 0; i < writers_.size(); ++i) {
            const Writer &writer = writers_[i];
            for (std::uint64_t &k = written_[i]; writer.time(k) < std::min(now_, writer.until); ++k)
                write(writer.page(k), writer.silent);
        }
    }
    // Stands still: time passes, and the timetable with it, without writes.
    void pause(Nanos duration) {
        now_ += duration;
        for (std::size_t i = 0; i < writers_.size(); ++i)
            while (writers_[i].time(written_[i]) < now_)
                ++written_[i];
    }
    // The log as it is, which begins anew.
    std::vector<unsigned long> take_log() {
        return std::exchange(log_, std::vector<unsigned long>(log_.size()));
    }
    // When the page is written next; only the oracle may ask.
    Nanos next_write(std::uint32_t page) const {
        Nanos soonest = std::numeric_limits<Nanos>::max();
        for (std::size_t i = 0; i < writers_.size(); ++i)
            soonest = std::min(soonest, next_write(i, page));
        return soonest;
    }

  private:
    Nanos next_write(std::size_t i, std::uint32_t page) const {
        const Writer &writer = writers_[i];
        Nanos next = std::numeric_limits<Nanos>::max();
        if (page < writer.first || page >= writer.first + writer.count)
            return next;
        if (!writer.random) {
            const std::uint64_t place = page - writer.first, at = written_[i] % writer.count;
            next = writer.time(written_[i] + (place + writer.count - at) % writer.count);
        } else if (const auto k = ahead(i, page); k) {
            next = writer.time(*k);
        }
        return next < writer.until ? next : std::numeric_limits<Nanos>::max();
    }
    // Of a random writer: its next write to the page, if there is one soon.
    std::optional<std::uint64_t> ahead(std::size_t i, std::uint32_t page) const {
        Ahead &known = ahead_[i];
        const Writer &writer = writers_[i];
        const std::uint64_t most = 8 * writer.count;
        if (known.ks.empty() || written_[i] + most / 2 > known.end) {
            known.ks.assign(writer.count, {});
            known.end = written_[i] + most;
            for (std::uint64_t k = written_[i]; k < known.end; ++k)
                known.ks[writer.page(k) - writer.first].push_back(k);
        }
        const auto &ks = known.ks[page - writer.first];
        const auto found = std::lower_bound(ks.begin(), ks.end(), written_[i]);
        return found == ks.end() ? std::nullopt : std::optional(*found);
    }

    void write(std::uint32_t page, bool silent) {
        log_[page / 64] |= 1ul << page % 64;
        if (!silent)
            ++content_[page];
    }

    std::uint32_t pages_;
    std::vector<Writer> writers_;
    std::vector<std::uint64_t> written_; // by writer, how many writes
    std::vector<std::uint64_t> content_;
    std::vector<unsigned long> log_;
    Nanos now_ = 0;
    struct Ahead {
        std::vector<std::vector<std::uint64_t>> ks; // by page
        std::uint64_t end = 0;
    };
    mutable std::map<std::size_t, Ahead> ahead_;
};

} // namespace tidemark::sim
