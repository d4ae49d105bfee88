/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much RAM there is to send, and how much of it is zero. Tiered memory knows that of itself. Of other memory a
 * sample is looked at, and only what is there: to read a page that was never touched could allocate it.
 */
#include "qemu/osdep.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/misc.h"
#include "migration/ram.h"
#include "qemu/cutils.h"
#include "qemu/rcu.h"

#include "hostmem-tiered.h"
#include "tiered-forecast.h"

#define MOST_LOOKED_AT 16384
#define PAGEMAP_THERE ((1ull << 63) | (1ull << 62)) /* present, or swapped */

uint64_t tiered_forecast_ram_pages(void)
{
    RAMBlock *rb;
    uint64_t pages = 0;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        pages += rb->used_length / TIDEMARK_PAGE_SIZE;
    }
    return pages;
}

/* -1: it can't be told */
static int page_is_zero(int pagemap, const RAMBlock *rb, uint64_t page)
{
    const uint8_t *at = rb->host + page * TIDEMARK_PAGE_SIZE;
    uint64_t entry;

    if (pread(pagemap, &entry, sizeof(entry),
              (uintptr_t)at / qemu_real_host_page_size() * sizeof(entry)) != sizeof(entry)) {
        return -1;
    }
    return !(entry & PAGEMAP_THERE) || buffer_is_zero(at, TIDEMARK_PAGE_SIZE);
}

static double sampled_zero_pages(int pagemap, const RAMBlock *rb)
{
    uint64_t pages = rb->used_length / TIDEMARK_PAGE_SIZE;
    uint64_t step = MAX(1, pages / MOST_LOOKED_AT), looked = 0, zero = 0;

    for (uint64_t page = step / 2; page < pages; page += step) {
        int is_zero = page_is_zero(pagemap, rb, page);

        if (is_zero < 0) {
            return 0;
        }
        looked++;
        zero += is_zero;
    }
    return looked ? (double)pages * zero / looked : 0;
}

/* False: it is like any other memory. */
static bool tiered_zero_pages(RAMBlock *rb, double *zero)
{
    struct tidemark_stats stats = { .size = sizeof(stats) };
    TieredBackend *tb = tiered_backend_get_by_block(rb);
    bool armed = false;

    if (tb) {
        armed = tidemark_backend_query(tb->engine_backend, &stats) == 0 && stats.armed;
        *zero = stats.untouched + stats.zero;
        tiered_backend_put(tb);
    }
    return armed;
}

uint64_t tiered_forecast_zero_pages(void)
{
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    RAMBlock *rb;
    double sum = 0;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        double zero = 0;

        if (!tiered_zero_pages(rb, &zero) && pagemap >= 0) {
            zero = sampled_zero_pages(pagemap, rb);
        }
        sum += zero;
    }
    if (pagemap >= 0) {
        close(pagemap);
    }
    return sum;
}
