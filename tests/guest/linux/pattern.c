/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pattern MIB PASSES SEED: fills MIB of anonymous memory, then PASSES times
 * reads it in order, reads it in random order, rewrites random pages, and
 * checks every word each time. One page in sixteen stays zero. Ends with
 * `PATTERN OK pages=.. checked=.. bad=0` or `PATTERN FAILED`.
 */
#include <string.h>
#include <sys/mman.h>

#include "common.h"

struct workload {
    uint64_t *memory;
    uint32_t *version; /* of each page; with the seed it gives the page's tag */
    uint64_t pages, seed, checked, bad_pages;
};

static uint64_t *page_at(struct workload *w, uint64_t page)
{
    return w->memory + page * PAGE_WORDS;
}

static uint64_t tag_of(const struct workload *w, uint64_t page)
{
    return page % 16 == 7 ? 0 : mix(w->seed + page * 1000003u + w->version[page]) | 1;
}

static void check(struct workload *w, uint64_t page)
{
    unsigned words = page_check(page_at(w, page), tag_of(w, page));

    w->checked++;
    if (words && w->bad_pages++ < 8) {
        printf("BAD page=%llu words=%u\n", (unsigned long long)page, words);
    }
}

static void random_order(struct workload *w, uint64_t seed)
{
    uint64_t slots = 1, at = mix(seed);

    while (slots < w->pages) {
        slots *= 2;
    }
    for (uint64_t i = 0; i < slots; i++) {
        at = (at * 1664525 + 1013904223) & (slots - 1);
        if (at < w->pages) {
            check(w, at);
        }
    }
}

static void rewrite(struct workload *w, uint64_t seed)
{
    for (uint64_t i = 0; i < w->pages / 8; i++) {
        uint64_t page = next_random(&seed) % w->pages;
        check(w, page);
        w->version[page]++;
        page_fill(page_at(w, page), tag_of(w, page));
    }
}

static void phase(const char *name, double *since)
{
    double now = now_s();

    printf("PATTERN %s %.2f s\n", name, now - *since);
    fflush(stdout);
    *since = now;
}

int main(int argc, char **argv)
{
    struct workload w = {0};
    unsigned long mib, passes;
    double since = now_s();

    if (argc != 4) {
        fail("usage: pattern MIB PASSES SEED");
    }
    mib = number(argv[1], "MIB");
    passes = number(argv[2], "PASSES");
    w.seed = number(argv[3], "SEED");
    w.pages = (uint64_t)mib * 256;
    w.memory = mmap(NULL, w.pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    w.version = calloc(w.pages, sizeof *w.version);
    if (w.memory == MAP_FAILED || !w.version) {
        fail("PATTERN FAILED: no %lu MiB of memory", mib);
    }
    for (uint64_t page = 0; page < w.pages; page++) {
        page_fill(page_at(&w, page), tag_of(&w, page));
    }
    phase("fill", &since);
    for (unsigned long pass = 0; pass < passes; pass++) {
        for (uint64_t page = 0; page < w.pages; page++) {
            check(&w, page);
        }
        phase("sequential", &since);
        rewrite(&w, w.seed + pass);
        phase("rewrite", &since);
        random_order(&w, w.seed + pass);
        phase("random", &since);
    }
    printf("PATTERN %s pages=%llu checked=%llu bad=%llu\n", w.bad_pages ? "FAILED" : "OK",
           (unsigned long long)w.pages, (unsigned long long)w.checked,
           (unsigned long long)w.bad_pages);
    return w.bad_pages ? 1 : 0;
}
