/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls that QEMU's migration makes so that it goes by what was learnt of the guest's writes. Without Tidemark,
 * and unless a migration does so, they do what stands in their place in QEMU.
 *
 * rb->bmap stays the truth: a page that is held back is a bit left set, and the last stage, postcopy and everything
 * else that is not a plain precopy of a running guest sends all that is set.
 */
#ifndef TIERED_PREDICT_HOOKS_H
#define TIERED_PREDICT_HOOKS_H

#include "qemu/bitops.h"

#include "tidemark-compat.h"

#ifdef CONFIG_TIDEMARK

/* Changes only in the migration thread. */
extern bool tiered_predict_orders; /* pages are chosen by the plan */
extern bool tiered_predict_counts; /* pages that are sent are told to the model */

void tiered_predict_feed(RAMBlock *rb);
unsigned long tiered_predict_search(RAMBlock *rb, unsigned long size, unsigned long page);
bool tiered_predict_send(RAMBlock *rb, unsigned long page, uint8_t **copy);
uint64_t tiered_predict_estimate(uint64_t bytes);
uint64_t tiered_predict_due(uint64_t bytes);
double tiered_predict_hold(double bandwidth);

/* ramblock_sync_dirty_bitmap(), before the log of @rb is taken over into rb->bmap. */
static inline void tiered_predict_sync(RAMBlock *rb)
{
    tiered_predict_feed(rb);
}

/*
 * pss_find_next_dirty(): find_next_bit() in rb->bmap. A host page that was begun is sent as a whole.
 */
static inline unsigned long tiered_predict_next(RAMBlock *rb, unsigned long size,
                                                unsigned long page, bool begun)
{
    if (unlikely(tiered_predict_orders) && !begun) {
        return tiered_predict_search(rb, size, page);
    }
    return find_next_bit(rb->bmap, size, page);
}

/*
 * ram_save_target_page(), when the page's bit has been cleared: true if the destination has these bytes already.
 * Else, if *@copy is set, these are the bytes to send: those of the page may be others by now.
 */
static inline bool tiered_predict_unchanged(RAMBlock *rb, unsigned long page, uint8_t **copy)
{
    *copy = NULL;
    return unlikely(tiered_predict_counts) && tiered_predict_send(rb, page, copy);
}

/*
 * ram_state_pending_estimate(): of @bytes that are left, so many that a bitmap sync follows if one is wanted now and
 * not if none is. May wait a little if there is nothing worth sending.
 */
static inline uint64_t tiered_predict_pending(uint64_t bytes)
{
    return unlikely(tiered_predict_orders) ? tiered_predict_estimate(bytes) : bytes;
}

/* ram_state_pending_exact(): of @bytes that are left after a sync, those that would have to be sent. */
static inline uint64_t tiered_predict_pending_exact(uint64_t bytes)
{
    return unlikely(tiered_predict_orders) ? tiered_predict_due(bytes) : bytes;
}

/* migration_update_counters(): the measured bandwidth, or the last one measured while there was enough to send. */
static inline double tiered_predict_bandwidth(double bandwidth)
{
    return unlikely(tiered_predict_counts) ? tiered_predict_hold(bandwidth) : bandwidth;
}

#else

static inline void tiered_predict_sync(RAMBlock *rb)
{
}

static inline unsigned long tiered_predict_next(RAMBlock *rb, unsigned long size,
                                                unsigned long page, bool begun)
{
    return find_next_bit(rb->bmap, size, page);
}

static inline bool tiered_predict_unchanged(RAMBlock *rb, unsigned long page, uint8_t **copy)
{
    *copy = NULL;
    return false;
}

static inline uint64_t tiered_predict_pending(uint64_t bytes)
{
    return bytes;
}

static inline uint64_t tiered_predict_pending_exact(uint64_t bytes)
{
    return bytes;
}

static inline double tiered_predict_bandwidth(double bandwidth)
{
    return bandwidth;
}

#endif
#endif
