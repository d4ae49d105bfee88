/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Learning a guest's writes, and migrating by what was learnt: what the files of it share. The model itself is the
 * engine's (tidemark_migrate.h); it knows RAM blocks by a number, and nothing of QEMU.
 *
 * Locks: the BQL is taken before RAMState's bitmap_mutex, that before the model's own. The table of blocks changes
 * only under the BQL and while no precopy uses it.
 */
#ifndef TIERED_PREDICT_H
#define TIERED_PREDICT_H

#include "exec/ramlist.h"
#include "qemu/timer.h"
#include "tidemark-compat.h"
#include "tidemark.h"

/* ---- tiered-predict-log.c: RAM blocks by number, and the log of dirty pages ---- */

/* The model, once it was needed; it stays. Any thread. */
tidemark_writes *tiered_writes(void);

/* The model knows the guest's blocks as they are now. BQL held, no precopy running. */
bool tiered_writes_prepare(Error **errp);
/* It forgets all of them. BQL held, no precopy running. */
void tiered_writes_forget(void);

/* The number of @rb, or -1. RCU read lock held. */
int tiered_block_number(const RAMBlock *rb);
/* Block number @number if it is still what it was, else NULL. RCU read lock held. */
RAMBlock *tiered_block_get(uint32_t number);

/* A look at the log: all that was written since the last one goes to the model. BQL held; the log must be ours
 * alone. Returns after how many ns the next one is wanted. */
uint64_t tiered_log_look(void);
/* Part of a look: what is in the log of @rb goes to the model, and stays there. RCU read lock held. */
void tiered_log_peek(RAMBlock *rb);
/* After a look: tiered backends' profiles learn what it found. RCU read lock held. */
void tiered_log_tell_profiles(void);
/* Translated code must ask again before it writes to a page whose bit is not set. */
void tiered_log_rearm(void);

static inline uint64_t tiered_predict_now(void) {
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

/* ---- tiered-predict-learn.c ---- */

/* BQL held. */
bool tiered_learn_start(Error **errp);
void tiered_learn_stop(void);
/* Somebody else took bits out of the log, or may have: the next look is no measurement. BQL held. */
void tiered_learn_disturbed(void);
/* If so, tells the model, because a look comes. BQL held. */
void tiered_learn_settle(void);
/* The bytes of a page, without bringing it into DRAM; false if they cannot be had. RCU read lock held. */
bool tiered_read_page(RAMBlock *rb, uint64_t page, uint8_t *bytes);

/* ---- tiered-predict.c ---- */

/* BQL held; before the first migration. */
void tiered_predict_init(void);
/* Does a precopy use the model? BQL held. */
bool tiered_predict_busy(void);

/* ms that the precopy that runs, or ran last, waited with nothing worth sending. */
uint64_t tiered_predict_waited_ms(void);

/* ---- tiered-predict-link.c, in the migration thread ---- */

/* A precopy begins. */
void tiered_predict_link_forget(void);
/* Something other than the link held things up. */
void tiered_predict_link_idles(void);
/* And for so long; how long in all, in this precopy. */
void tiered_predict_link_held(uint64_t ns);
uint64_t tiered_predict_link_held_ns(void);
/* The user changed its limit: what is known of it has to be found out again. */
bool tiered_predict_link_probes(void);
/* Bytes per second that it carried when it was last busy, 0: not known. */
uint64_t tiered_predict_link(void);
/* Bytes to be sent of which the destination is not likely to have the content already. */
uint64_t tiered_predict_due_bytes(void);

/* ---- tiered-postcopy-order.c ---- */

/* Before a postcopy: the next page of @rb, number @block, that the guest will soon want at the destination and may
 * go now. False: there is none any more. In the migration thread, bitmap_mutex and RCU read lock held. */
bool tiered_postcopy_next_early(RAMBlock *rb, int block, unsigned long size, unsigned long *page);

/* ---- tiered-forecast.c ---- */

/* A verdict is wanted about the migration that starts or runs: what its syncs find has to be learnt. */
bool tiered_forecast_wants_looks(void);

#endif
