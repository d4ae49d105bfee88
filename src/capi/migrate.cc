// SPDX-License-Identifier: GPL-2.0-or-later
//
// tidemark_migrate.h between C and src/migrate/.
#include "capi/handles.h"

#include <random>

namespace {

using namespace tidemark;

constexpr std::uint64_t kMostPages = std::uint64_t{1} << 32;

std::span<const unsigned long> words_of(const unsigned long *bits, size_t words) {
    return {bits, words};
}

PageName page_of(uint32_t block, uint64_t page) {
    return {block, page};
}

// A page beyond what is known of the block is the caller's alone: he sends it as it comes.
bool planned(const tidemark_writes *w, uint32_t block, uint64_t pages) TIDEMARK_REQUIRES(w->mutex) {
    return w->precopy && w->writes.has(block) && pages <= w->writes.pages(block);
}

uint64_t count_set(const unsigned long *bits, uint64_t pages) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < pages / kStripePages; ++i)
        sum += static_cast<unsigned>(__builtin_popcountl(bits[i]));
    if (const uint64_t rest = pages % kStripePages; rest != 0)
        sum += static_cast<unsigned>(
            __builtin_popcountl(bits[pages / kStripePages] & ((1ul << rest) - 1)));
    return sum;
}

uint64_t first_set(const unsigned long *bits, uint64_t pages, uint64_t from) {
    for (uint64_t page = from; page < pages; page = (page / kStripePages + 1) * kStripePages)
        if (const unsigned long word = bits[page / kStripePages] >> page % kStripePages; word != 0)
            return std::min(page + static_cast<unsigned>(__builtin_ctzl(word)), pages);
    return pages;
}

void copy_counts(const PrecopyCounts &counts, tidemark_writes_stats &stats) {
    stats.sent = counts.sent;
    stats.resent = counts.resent;
    stats.skipped = counts.skipped;
    stats.deferred = counts.deferred;
    stats.syncs = counts.syncs;
    stats.advised = counts.advised;
    stats.advised_rewritten = counts.advised_rewritten;
    stats.advised_against = counts.against;
    stats.advised_against_rewritten = counts.against_rewritten;
}

} // namespace

extern "C" {

int tidemark_writes_create(uint64_t now_ns, tidemark_writes **writes) noexcept {
    return guarded([&]() -> int {
        std::random_device random;
        *writes = std::make_unique<tidemark_writes>(now_ns, uint64_t{random()} << 32 | random())
                      .release();
        return 0;
    });
}

void tidemark_writes_destroy(tidemark_writes *writes) noexcept {
    delete writes;
}

int tidemark_writes_add_block(tidemark_writes *w, uint32_t block, uint64_t pages) noexcept {
    return guarded([&]() -> int {
        if (block >= Writes::kBlocks || pages == 0 || pages > kMostPages)
            return -EINVAL;
        const MutexLock lock(w->mutex);
        if (w->writes.has(block))
            return -EEXIST;
        w->writes.add_block(block, pages);
        if (!w->precopy)
            return 0;
        try {
            w->precopy->add_block(block);
        } catch (const std::bad_alloc &) {
            w->writes.remove_block(block);
            throw;
        }
        return 0;
    });
}

void tidemark_writes_remove_block(tidemark_writes *w, uint32_t block) noexcept {
    const MutexLock lock(w->mutex);
    if (!w->writes.has(block))
        return;
    if (w->precopy)
        w->precopy->remove_block(block);
    w->writes.remove_block(block);
}

int tidemark_writes_query(tidemark_writes *w, tidemark_writes_stats *stats) noexcept {
    if (stats->size != sizeof(*stats))
        return -EINVAL;
    const MutexLock lock(w->mutex);
    const WritesSummary summary = summarize(w->writes);
    *stats = {};
    stats->size = sizeof(*stats);
    stats->pages = summary.pages;
    stats->memory_bytes = w->writes.bytes() + (w->precopy ? w->precopy->bytes() : 0);
    stats->looks = w->writes.looks();
    stats->period_ns = w->writes.period();
    stats->look_cost_ns = w->writes.look_cost();
    stats->learnt_ns = static_cast<uint64_t>(w->writes.learnt_seconds() * 1e9);
    stats->written_pages_per_second = w->writes.written_per_second();
    stats->never_written = summary.never;
    stats->hot = summary.hot;
    stats->regular = summary.regular;
    stats->silent = summary.silent;
    stats->hashes_taken = w->writes.samples().taken();
    stats->hashes_same = w->writes.samples().same();
    stats->sweep_seconds = w->writes.sweep_seconds().value_or(0);
    stats->in_precopy = w->precopy.has_value();
    stats->observe_only = w->precopy ? w->precopy->terms().observe_only : w->observed;
    copy_counts(w->precopy ? w->precopy->counts() : w->counts, *stats);
    return 0;
}

void tidemark_writes_baseline(tidemark_writes *w) noexcept {
    const MutexLock lock(w->mutex);
    w->writes.baseline();
}

void tidemark_writes_begin(tidemark_writes *w, uint64_t now_ns) noexcept {
    const MutexLock lock(w->mutex);
    w->writes.begin(now_ns);
}

void tidemark_writes_dirty(tidemark_writes *w, uint32_t block, uint64_t first_page,
                           const unsigned long *bits, size_t words) noexcept {
    const MutexLock lock(w->mutex);
    w->writes.dirty(block, first_page, words_of(bits, words));
    if (w->precopy)
        w->precopy->written(block, first_page, words_of(bits, words));
}

uint64_t tidemark_writes_end(tidemark_writes *w, uint64_t now_ns) noexcept {
    const MutexLock lock(w->mutex);
    const uint64_t looks = w->writes.looks();
    const uint64_t period = w->writes.end(now_ns);
    if (w->writes.looks() != looks)
        w->phases.see(double(now_ns) * 1e-9, w->writes.found_per_second());
    return period;
}

size_t tidemark_writes_sample(tidemark_writes *w, tidemark_page_name *pages, size_t max) noexcept {
    std::array<PageName, 64> names;
    size_t count = 0;
    const MutexLock lock(w->mutex);
    while (count < max) {
        const size_t some =
            w->writes.sample(std::span(names).first(std::min<size_t>(names.size(), max - count)));
        for (size_t i = 0; i < some; ++i)
            pages[count++] = {names[i].page, names[i].block, 0};
        if (some == 0)
            break;
    }
    return count;
}

void tidemark_writes_hash(tidemark_writes *w, uint32_t block, uint64_t page, uint64_t lo,
                          uint64_t hi) noexcept {
    const MutexLock lock(w->mutex);
    w->writes.hashed(page_of(block, page), {lo, hi});
}

void tidemark_page_hash(const tidemark_writes *w, const void *bytes, uint64_t *lo,
                        uint64_t *hi) noexcept {
    const PageHash hash = hash_page(static_cast<const std::byte *>(bytes), w->seed);
    *lo = hash.lo;
    *hi = hash.hi;
}

void tidemark_precopy_terms_init(tidemark_precopy_terms *terms) noexcept {
    *terms = {};
    terms->size = sizeof(*terms);
    terms->downtime_limit_ns = PrecopyTerms{}.downtime_limit;
}

int tidemark_precopy_begin(tidemark_writes *w, const tidemark_precopy_terms *given, uint64_t now_ns,
                           char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (given->size != sizeof(*given))
            return report(msg, msg_size,
                          {EINVAL, "the program and libtidemark disagree about the size of "
                                   "tidemark_precopy_terms: they are of different versions"});
        const MutexLock lock(w->mutex);
        if (w->precopy)
            return report(msg, msg_size,
                          {EALREADY, "a precopy of this guest runs already; end it first"});
        w->precopy.emplace(
            w->writes,
            PrecopyTerms{given->observe_only, given->downtime_limit_ns, given->bandwidth}, now_ns);
        return 0;
    });
}

void tidemark_precopy_set_room(tidemark_writes *w, uint64_t bytes) noexcept {
    const MutexLock lock(w->mutex);
    if (w->precopy)
        w->precopy->set_room(bytes);
}

void tidemark_precopy_synced(tidemark_writes *w, uint64_t now_ns, uint64_t bytes_per_second,
                             uint64_t pages_left) noexcept {
    const MutexLock lock(w->mutex);
    if (w->precopy)
        w->precopy->synced(now_ns, bytes_per_second, pages_left);
}

uint64_t tidemark_precopy_sync_in(tidemark_writes *w, uint64_t now_ns) noexcept {
    const MutexLock lock(w->mutex);
    return w->precopy ? w->precopy->sync_in(now_ns) : 0;
}

uint64_t tidemark_precopy_next(tidemark_writes *w, uint32_t block, const unsigned long *bitmap,
                               uint64_t pages, uint64_t from) noexcept {
    const MutexLock lock(w->mutex);
    if (from >= pages)
        return pages;
    return planned(w, block, pages) ? w->precopy->next({block, bitmap, pages}, from)
                                    : first_set(bitmap, pages, from);
}

uint64_t tidemark_precopy_eligible(tidemark_writes *w, uint32_t block, const unsigned long *bitmap,
                                   uint64_t pages) noexcept {
    const MutexLock lock(w->mutex);
    return planned(w, block, pages) ? w->precopy->eligible({block, bitmap, pages})
                                    : count_set(bitmap, pages);
}

uint64_t tidemark_precopy_due(tidemark_writes *w, uint32_t block, const unsigned long *bitmap,
                              uint64_t pages) noexcept {
    const MutexLock lock(w->mutex);
    return planned(w, block, pages) ? w->precopy->due({block, bitmap, pages})
                                    : count_set(bitmap, pages);
}

tidemark_precopy_step tidemark_precopy_advance(tidemark_writes *w, uint64_t now_ns) noexcept {
    const MutexLock lock(w->mutex);
    if (!w->precopy)
        return TIDEMARK_PRECOPY_WAIT;
    switch (w->precopy->advance(now_ns)) {
    case PrecopyStep::more:
        return TIDEMARK_PRECOPY_MORE;
    case PrecopyStep::sync:
        return TIDEMARK_PRECOPY_SYNC;
    case PrecopyStep::wait:
        break;
    }
    return TIDEMARK_PRECOPY_WAIT;
}

void tidemark_precopy_sent(tidemark_writes *w, uint32_t block, uint64_t page,
                           uint64_t now_ns) noexcept {
    const MutexLock lock(w->mutex);
    if (w->precopy)
        w->precopy->sent(page_of(block, page), now_ns);
}

bool tidemark_precopy_wants_copy(tidemark_writes *w, uint32_t block, uint64_t page) noexcept {
    const MutexLock lock(w->mutex);
    return w->precopy && w->precopy->wants_copy(page_of(block, page));
}

bool tidemark_precopy_unchanged(tidemark_writes *w, uint32_t block, uint64_t page, uint64_t lo,
                                uint64_t hi) noexcept {
    const MutexLock lock(w->mutex);
    return w->precopy && w->precopy->unchanged(page_of(block, page), {lo, hi});
}

void tidemark_precopy_sent_copy(tidemark_writes *w, uint32_t block, uint64_t page, uint64_t lo,
                                uint64_t hi, uint64_t now_ns) noexcept {
    const MutexLock lock(w->mutex);
    if (!w->precopy)
        return;
    try {
        w->precopy->sent_copy(page_of(block, page), {lo, hi}, now_ns);
    } catch (const std::bad_alloc &) {
        // Without room for its hash the page counts as sent like any other.
        w->precopy->sent(page_of(block, page), now_ns);
    }
}

void tidemark_precopy_end(tidemark_writes *w, tidemark_precopy_outcome outcome) noexcept {
    const MutexLock lock(w->mutex);
    if (!w->precopy)
        return;
    (void)outcome; // what becomes of the forecast's errors is decided by it
    w->counts = w->precopy->counts();
    w->observed = w->precopy->terms().observe_only;
    w->precopy.reset();
}

} // extern "C"
