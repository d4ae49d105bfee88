/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Postcopy at the source: which pages of tiered memory go first when nobody asks for any.
 *
 * The guest runs at the destination by now, and waits for each page it touches before that page has
 * come. So the warmest go first, by what the engine knew when the guest stopped: DRAM by its use,
 * then what is in a tier. After a page that was asked for, some that follow it go first: the guest is
 * likely to want them next. If it then asks for one among or right behind these, it walks, and twice as
 * many follow.
 *
 * The migration bitmap stays the truth. One byte a page, from the hand-over to the end. With
 * tiered-migration-configure profile=off the order is QEMU's own.
 */
#include "qemu/osdep.h"
#include "exec/target_page.h"
#include "migration/misc.h"
#include "qemu/bitmap.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"
#include "tiered-migration-config.h"
#include "trace.h"

/* Pages looked at behind one that was asked for, before the order goes on: 64 KiB, up to 16 MiB. */
#define NEAR_PAGES 16
#define NEAR_PAGES_MOST 4096

/* Under bitmap_mutex, but for the end, when nobody sends any more. */
struct TieredPostcopyOrder {
    uint8_t *levels; /* how warm, a page each; NULL: nothing is known */
    unsigned level;  /* that is being sent; warmer ones have been */
    unsigned long cursor;
    unsigned long expected; /* where the search goes on unless somebody asked for a page */
    unsigned long near_end; /* pages before this go first */
    unsigned long asked, window; /* what was asked for last, and how many pages followed */
};

static void free_order(TieredBackend *tb)
{
    if (tb->postcopy_order) {
        g_free(tb->postcopy_order->levels);
        g_free(tb->postcopy_order);
        tb->postcopy_order = NULL;
    }
}

static struct TieredPostcopyOrder *order_of(TieredBackend *tb)
{
    struct TieredPostcopyOrder *order = tb->postcopy_order;
    size_t pages = MEMORY_BACKEND(tb)->size / TIDEMARK_PAGE_SIZE;

    if (!order) {
        order = tb->postcopy_order = g_new0(struct TieredPostcopyOrder, 1);
        order->level = TIDEMARK_WARMEST;
        order->levels = tiered_migration_sends_profile() ? g_try_malloc(pages) : NULL;
        if (order->levels &&
            tidemark_backend_warmth(tb->engine_backend, order->levels, pages) <= 0) {
            g_free(order->levels);
            order->levels = NULL;
        }
        trace_tiered_memory_postcopy_order(tb->id, order->levels != NULL);
    }
    return order;
}

/* Somebody asked for this page: where what goes first ends. */
static unsigned long near_end(struct TieredPostcopyOrder *order, unsigned long page,
                              unsigned long size, unsigned shift)
{
    bool walks = order->window && page > order->asked &&
                 page - order->asked <= order->window + (NEAR_PAGES << shift);

    order->window = walks ? MIN(2 * order->window, NEAR_PAGES_MOST << shift)
                          : NEAR_PAGES << shift;
    order->asked = page;
    return MIN(size, page + order->window);
}

/* The next page of the present level, or of the next that has any. */
static unsigned long next_by_level(struct TieredPostcopyOrder *order, const unsigned long *bitmap,
                                   unsigned long size, unsigned shift)
{
    unsigned long page;

    for (;; order->level--, order->cursor = 0) {
        for (page = find_next_bit(bitmap, size, order->cursor); page < size;
             page = find_next_bit(bitmap, size, page + 1)) {
            if (order->levels[page >> shift] >= order->level) {
                order->cursor = page;
                return page;
            }
        }
        if (!order->level) {
            order->cursor = size;
            /* Recovery may have set bits that were passed already. */
            return find_next_bit(bitmap, size, 0);
        }
    }
}

bool tiered_memory_postcopy_next(RAMBlock *rb, const unsigned long *bitmap, unsigned long size,
                                 unsigned long *page)
{
    const unsigned shift = ctz32(TIDEMARK_PAGE_SIZE) - qemu_target_page_bits();
    TieredBackend *tb = tiered_engine() ? tiered_backend_get_by_block(rb) : NULL;
    struct TieredPostcopyOrder *order;
    unsigned long found;
    bool ordered;

    if (!tb) {
        return false;
    }
    order = order_of(tb);
    ordered = order->levels != NULL;
    if (ordered) {
        if (*page != order->expected) {
            order->near_end = near_end(order, *page, size, shift);
        }
        found = *page < order->near_end ? find_next_bit(bitmap, order->near_end, *page)
                                        : order->near_end;
        if (found >= order->near_end) {
            order->near_end = 0;
            found = next_by_level(order, bitmap, size, shift);
        }
        /* One page is sent, then the search comes back to the one behind it. */
        order->expected = found + 1;
        *page = found;
    }
    tiered_backend_put(tb);
    return ordered;
}

static int migration_ended(NotifierWithReturn *n, MigrationEvent *e, Error **errp)
{
    if (e->type != MIG_EVENT_PRECOPY_SETUP) {
        for (TieredBackend *tb = tiered_backend_get_next(NULL); tb;
             tb = tiered_backend_get_next(tb)) {
            free_order(tb);
        }
    }
    return 0;
}

void tiered_postcopy_order_init(void)
{
    static NotifierWithReturn notifier;

    if (!notifier.notify) {
        migration_add_notifier(&notifier, migration_ended);
    }
}
