/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Postcopy at the source: which pages of tiered memory go first when nobody asks for any.
 *
 * Before the hand-over, if the user allows postcopy and the precopy has a plan: what is in the guest's
 * reach, the warmest first, as far as the plan has it stay as it is. Each page once; then the plan's
 * own order. What the guest only reads is at the destination when it goes on there.
 *
 * After it the guest runs at the destination, and waits for each page it touches before that page has
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
#include "tiered-predict.h"
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

static void free_order(struct TieredPostcopyOrder **kept)
{
    if (*kept) {
        g_free((*kept)->levels);
        g_free(*kept);
        *kept = NULL;
    }
}

/* By the warmth of when it is asked for first. */
static struct TieredPostcopyOrder *order_of(TieredBackend *tb, struct TieredPostcopyOrder **kept)
{
    struct TieredPostcopyOrder *order = *kept;
    size_t pages = MEMORY_BACKEND(tb)->size / TIDEMARK_PAGE_SIZE;

    if (!order) {
        order = *kept = g_new0(struct TieredPostcopyOrder, 1);
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
    order = order_of(tb, &tb->postcopy_order);
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

/* The next page of the present level that may go now, or of the next that has any in the guest's reach; size: none. */
static unsigned long next_early(struct TieredPostcopyOrder *order, int block,
                                const unsigned long *bitmap, unsigned long size)
{
    unsigned long page;

    for (; order->level >= TIDEMARK_COOLEST; order->level--, order->cursor = 0) {
        for (page = find_next_bit(bitmap, size, order->cursor); page < size;
             page = find_next_bit(bitmap, size, page + 1)) {
            if (order->levels[page] == order->level &&
                tidemark_precopy_next(tiered_writes(), block, bitmap, page + 1, page) == page) {
                order->cursor = page + 1;
                return page;
            }
        }
    }
    g_free(order->levels);
    order->levels = NULL;
    return size;
}

bool tiered_postcopy_next_early(RAMBlock *rb, int block, unsigned long size, unsigned long *page)
{
    TieredBackend *tb = tiered_engine() ? tiered_backend_get_by_block(rb) : NULL;
    struct TieredPostcopyOrder *order;
    unsigned long found = size;

    if (!tb) {
        return false;
    }
    order = order_of(tb, &tb->precopy_order);
    if (order->levels) {
        found = next_early(order, block, rb->bmap, size);
    }
    tiered_backend_put(tb);
    if (found < size) {
        *page = found;
    }
    return found < size;
}

static int migration_ended(NotifierWithReturn *n, MigrationEvent *e, Error **errp)
{
    if (e->type != MIG_EVENT_PRECOPY_SETUP) {
        for (TieredBackend *tb = tiered_backend_get_next(NULL); tb;
             tb = tiered_backend_get_next(tb)) {
            free_order(&tb->precopy_order);
            free_order(&tb->postcopy_order);
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
