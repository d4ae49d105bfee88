/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidemark_migrate.h from C: a guest that is learnt and sent, and what is refused. */
#include "tidemark.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGES 256u
#define MS 1000000ull

static int failures;

static void expect(int holds, const char *what)
{
    printf("%s: %s\n", holds ? "ok" : "FAILED", what);
    failures += !holds;
}

static tidemark_writes *writes;
static uint64_t now;

static void look(unsigned long first_word)
{
    unsigned long bits[PAGES / 64] = { first_word };
    now += 100 * MS;
    tidemark_writes_begin(writes, now);
    tidemark_writes_dirty(writes, 5, 0, bits, PAGES / 64);
    uint64_t wait = tidemark_writes_end(writes, now + MS / 10);
    if (wait < 10 * MS || wait > 30000 * MS)
        expect(0, "the next look is wanted in 10 ms .. 30 s");
}

static void blocks(void)
{
    expect(tidemark_writes_add_block(writes, 64, PAGES) == -EINVAL, "64 is no block");
    expect(tidemark_writes_add_block(writes, 5, 0) == -EINVAL, "a block has pages");
    expect(tidemark_writes_add_block(writes, 5, PAGES) == 0, "a block is added");
    expect(tidemark_writes_add_block(writes, 5, PAGES) == -EEXIST, "but once");
    tidemark_writes_remove_block(writes, 6);
    tidemark_writes_remove_block(writes, 99);
}

static void plain(void)
{
    const unsigned long bits[2] = { 1ul << 3 | 1ul << 63, 1ul << 1 };
    expect(tidemark_precopy_next(writes, 5, bits, 128, 0) == 3, "without a precopy the first set page");
    expect(tidemark_precopy_next(writes, 5, bits, 128, 4) == 63, "and the next");
    expect(tidemark_precopy_next(writes, 5, bits, 128, 64) == 65, "in the next word");
    expect(tidemark_precopy_next(writes, 5, bits, 128, 66) == 128, "and no more");
    expect(tidemark_precopy_next(writes, 5, bits, 65, 64) == 65, "none beyond the end");
    expect(tidemark_precopy_next(writes, 5, bits, 65, 70) == 65, "nor from there");
    expect(tidemark_precopy_eligible(writes, 9, bits, 65) == 2, "of an unknown block all that is set");
    expect(tidemark_precopy_due(writes, 5, bits, 128) == 3, "all is due");
    expect(!tidemark_precopy_unchanged(writes, 5, 3, 0, 0), "nothing is known to be unchanged");
    tidemark_precopy_sent(writes, 5, 3, now);
    tidemark_precopy_end(writes, TIDEMARK_PRECOPY_FAILED);
}

static void precopy(void)
{
    struct tidemark_precopy_terms terms;
    char msg[256] = "";
    unsigned long bits[PAGES / 64] = { ~0ul, ~0ul };
    char page[4096] = "a page";
    uint64_t lo, hi, again_lo, again_hi;

    tidemark_precopy_terms_init(&terms);
    terms.downtime_limit_ns = MS;
    terms.size--;
    expect(tidemark_precopy_begin(writes, &terms, now, msg, sizeof(msg)) == -EINVAL &&
               strstr(msg, "different versions"), "terms of another size are refused");
    terms.size++;
    expect(tidemark_precopy_begin(writes, &terms, now, msg, sizeof(msg)) == 0, "a precopy begins");
    expect(tidemark_precopy_begin(writes, &terms, now, msg, sizeof(msg)) == -EALREADY, "but once");
    look(~0ul);
    tidemark_precopy_synced(writes, now, 1 << 18, 128);
    expect(tidemark_precopy_next(writes, 5, bits, PAGES, 0) == 64, "hot pages wait");
    expect(tidemark_precopy_eligible(writes, 5, bits, PAGES) == 64, "the others may go");
    bits[1] = 0;
    expect(tidemark_precopy_next(writes, 5, bits, PAGES, 0) == PAGES, "none is left");
    expect(tidemark_precopy_advance(writes, now) == TIDEMARK_PRECOPY_WAIT, "but hot ones");
    expect(tidemark_precopy_sync_in(writes, now) <= 100 * MS, "a sync is due soon");
    tidemark_page_hash(writes, page, &lo, &hi);
    tidemark_precopy_sent_copy(writes, 5, 7, lo, hi, now);
    tidemark_page_hash(writes, page, &again_lo, &again_hi);
    expect(tidemark_precopy_unchanged(writes, 5, 7, again_lo, again_hi), "the same bytes are unchanged");
    page[4095] = 1;
    tidemark_page_hash(writes, page, &again_lo, &again_hi);
    expect(!tidemark_precopy_unchanged(writes, 5, 7, again_lo, again_hi), "others are not");
    expect(tidemark_precopy_wants_copy(writes, 5, 7), "the page is sent from a copy next time");
    tidemark_precopy_sent(writes, 5, 7, now);
    expect(!tidemark_precopy_unchanged(writes, 5, 7, lo, hi), "sent from live memory: not known");
}

static void query(void)
{
    struct tidemark_writes_stats stats = { 0 };
    expect(tidemark_writes_query(writes, &stats) == -EINVAL, "stats of another size are refused");
    stats.size = sizeof(stats);
    expect(tidemark_writes_query(writes, &stats) == 0, "stats");
    expect(stats.pages == PAGES && stats.hot == 64 && stats.never_written == PAGES - 64, "pages by kind");
    expect(stats.in_precopy && stats.sent == 2 && stats.resent == 1 && stats.skipped == 1, "the precopy");
    tidemark_precopy_end(writes, TIDEMARK_PRECOPY_COMPLETED);
    expect(tidemark_writes_query(writes, &stats) == 0 && !stats.in_precopy && stats.sent == 2,
           "its figures stay");
}

/* Everything fits into this downtime: each page goes once. */
static double foretold_pages(uint64_t pages, uint64_t zero_pages)
{
    struct tidemark_forecast_terms terms;
    struct tidemark_forecast f = { .size = sizeof(f) };
    char msg[256] = "";

    tidemark_forecast_terms_init(&terms);
    terms.bandwidth = 1 << 30;
    terms.downtime_limit = 10;
    terms.pages = pages;
    terms.zero_pages = zero_pages;
    if (tidemark_precopy_forecast(writes, &terms, &f, msg, sizeof(msg)) < 0)
        return -1;
    return f.raw_bytes.p50 / 4104;
}

static void forecasts(void)
{
    struct tidemark_forecast_terms terms;
    struct tidemark_forecast f = { .size = sizeof(f) };
    char msg[256] = "";
    double fewer = foretold_pages(PAGES / 2, 0), zero = foretold_pages(PAGES, 100);

    expect(fewer > PAGES / 2 - 1 && fewer < PAGES / 2 + 1, "no more is foretold than there is");
    expect(foretold_pages(4 * PAGES, 0) > 4 * PAGES - 1, "nor less, if not all is learnt");
    expect(zero > PAGES - 101 && zero < PAGES - 98, "zero pages hardly count");
    tidemark_forecast_terms_init(&terms);
    terms.bandwidth = -1;
    expect(tidemark_precopy_forecast(writes, &terms, &f, msg, sizeof(msg)) == -EINVAL && *msg,
           "a negative bandwidth is refused with a sentence");
}

int main(void)
{
    struct tidemark_page_name names[100];

    expect(tidemark_writes_create(now, &writes) == 0, "a learner is made");
    blocks();
    plain();
    for (int i = 0; i < 50; i++) {
        look(~0ul);
        size_t count = tidemark_writes_sample(writes, names, 100);
        if (count > 64)
            expect(0, "only written pages are sampled");
        for (size_t k = 0; k < count; k++)
            tidemark_writes_hash(writes, names[k].block, names[k].page, (uint64_t)i, 0);
    }
    forecasts();
    precopy();
    query();
    tidemark_writes_destroy(writes);
    tidemark_writes_destroy(NULL);
    return failures != 0;
}
