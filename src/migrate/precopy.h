// SPDX-License-Identifier: GPL-2.0-or-later
//
// The plan of a precopy: which of the pages that wait to be sent should go now. First those that were never seen
// written, then the one whose next write is furthest, and so on; not at all those that would be written again
// before the guest could be stopped. The plan owns no page: the caller's bitmaps say what waits, and a page that is
// passed over simply stays set there.
//
// When is a page worth sending? If r pages wait, c may be left for when the guest stands still, and the link takes
// b a second, the guest can be stopped (r - c) / b from now at the earliest. A page that is written again before
// that is sent for nothing.
//
// With few enough left the guest could be stopped; but those that stay clean until all is sent may as well go before:
// that takes the same time, and the guest runs meanwhile.
//
// A prediction can be wrong, or too coarse for pages that come again within some 100 ms. So if nothing has been worth
// sending for a while, and it is not hopeless, everything is let in for some syncs, as stock would; then not again
// for twice as long.
//
// If it is hopeless for long, each page still goes once, as in any migration: whoever waits for the destination to have
// seen every page (who watches its progress, a delta that needs something to be made against) does not wait for ever.
//
// What is written until a sync has looked comes on top of what was left before it. So less than may be left is aimed
// at, and less still each time that the guest runs on after a sync that was to be the last.
//
// Not thread-safe: its owner has the lock.
#pragma once

#include "migrate/next_write.h"
#include "migrate/sent_hashes.h"

namespace tidemark {

struct PrecopyTerms {
    bool observe_only = false;
    Nanos downtime_limit = 3 * kSecond / 10;
    std::uint64_t bandwidth = 0; // bytes a second, 0: not known
};

enum class PrecopyStep { more, sync, wait };

// A bitmap of the caller's, of the pages of a block that wait to be sent.
struct Waiting {
    std::size_t block = 0;
    const unsigned long *bits = nullptr;
    std::uint64_t pages = 0;
};

struct PrecopyCounts {
    std::uint64_t sent = 0, resent = 0, skipped = 0, deferred = 0, syncs = 0;
    std::uint64_t advised = 0, advised_rewritten = 0;
    std::uint64_t against = 0, against_rewritten = 0;
};

class Precopy {
  public:
    Precopy(Writes &writes, const PrecopyTerms &terms, Nanos now);

    void add_block(std::size_t block);
    void remove_block(std::size_t block) { blocks_[block].reset(); }
    // What the migration would stop the guest for, in bytes left: by its own reckoning, not by limit and bandwidth.
    void set_room(std::uint64_t bytes) { room_ = bytes; }
    const PrecopyTerms &terms() const { return terms_; }

    // What a look found; after Writes has been told.
    void written(std::size_t block, std::uint64_t first, std::span<const unsigned long> words);
    void synced(Nanos now, std::uint64_t bytes_per_second, std::uint64_t left);
    Nanos sync_in(Nanos now) const { return sync_at_ > now ? sync_at_ - now : 0; }

    std::uint64_t next(const Waiting &waiting, std::uint64_t from);
    std::uint64_t eligible(const Waiting &waiting);
    std::uint64_t due(const Waiting &waiting);
    PrecopyStep advance(Nanos now);

    void sent(PageName page, Nanos now);
    bool wants_copy(PageName page);
    bool unchanged(PageName page, PageHash hash);
    void sent_copy(PageName page, PageHash hash, Nanos now);

    const PrecopyCounts &counts() const { return counts_; }
    std::size_t bytes() const;

  private:
    // How good it is to send a page now: when its next write comes, in a byte.
    using Level = std::uint8_t;
    static constexpr Level kNeverWritten = 255, kSilent = 252, kMostTimed = 250;

    struct Block {
        explicit Block(std::uint64_t pages);
        ZeroedArray<Level> levels;
        // By stripe: the plan that its levels are of, and bits of its pages.
        ZeroedArray<std::uint32_t> planned;
        ZeroedArray<std::uint64_t> sent;    // at least once
        ZeroedArray<std::uint64_t> open;    // not written since it was sent
        ZeroedArray<std::uint64_t> advised; // the plan was for sending it then
        SentHashes hashes;
    };

    static Level level_of(const NextWrite &next);
    static Level level_of(double seconds);
    static double seconds_of(Level level);
    static std::array<double, 256> make_seconds();

    Block *block_of(const PageName &page);
    std::span<const Level> levels(std::size_t block, std::uint64_t stripe);
    // Which of the bits may go, up to the first of them or all.
    std::uint64_t eligible_bits(std::size_t block, std::uint64_t stripe, std::uint64_t bits,
                                bool first);
    void search_again();
    void set_now(Nanos now);
    bool may_go(Level level) const;
    double pages_per_second() const;
    double may_stay() const;             // pages that may be left for the stopped guest
    double seconds_to_stop() const;      // until the guest can be stopped at the earliest
    bool worth(Level level) const;       // sending at all
    bool stays_clean(Level level) const; // until all is sent
    PrecopyStep wait_or_push(Level candidate);
    void note_sent(Block &block, PageName page, Nanos now);

    Writes &writes_;
    PrecopyTerms terms_;
    std::array<std::optional<Block>, Writes::kBlocks> blocks_;
    WritesMoment moment_;
    Nanos planned_at_, now_, sync_at_, sync_cost_ = 0;
    std::uint32_t plan_ = 1;
    std::uint64_t bandwidth_, left_ = 0, room_ = 0;
    // Share of what may be left that is aimed at; whether that is reached; whether it was, and a sync after that
    // did not stop the guest.
    double aim_;
    bool reached_ = false, missed_ = false;
    Level lowest_ = kNeverWritten; // that may go now
    Level passed_ = 0; // timed levels up to this one are over: written since the plan was made
    // Of the search that is on: the best level that may not go yet, and whether one was over.
    Level candidate_ = 0;
    bool over_ = false;
    std::uint64_t skipped_over_ = 0;
    // With nothing worth sending: how many plans ended so, how many more may, and for how many plans from now on all
    // is let in.
    bool waited_ = false;
    std::uint32_t waits_ = 0, patience_ = 1, pushes_ = 0;
    bool once_ = false; // what was never sent may go, whatever its level
    PrecopyCounts counts_;
};

} // namespace tidemark
