/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the link carries, and what it has yet to, in a precopy that waits now and then: QEMU measures what was sent in a tenth of a second,
 * which says little about the link if nothing was worth sending.
 *
 * All in the migration thread.
 */
#include "qemu/osdep.h"
#include "qapi/qapi-types-migration.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "qemu/rcu.h"

#include "tiered-predict-hooks.h"
#include "tiered-predict.h"

static struct {
    double good; /* bytes per ms; 0: not known */
    bool measured; /* so, not guessed */
    bool idled; /* since the last measurement */
    uint64_t held_ns; /* in all */
    uint64_t rate_limit; /* at the last measurement, the user's */
    bool probes; /* it was changed: until the link is measured again, all that is set is sent */
} measure;

void tiered_predict_link_forget(void)
{
    measure = (typeof(measure)) { .rate_limit = migrate_max_bandwidth() };
}

void tiered_predict_link_idles(void)
{
    measure.idled = true;
}

void tiered_predict_link_held(uint64_t ns)
{
    measure.idled = true;
    measure.held_ns += ns;
}

uint64_t tiered_predict_link_held_ns(void)
{
    return measure.held_ns;
}

/*
 * What was measured under another limit would be held for ever: by a link that is thought slow, everything waits, and
 * while everything waits nothing is measured.
 */
bool tiered_predict_link_probes(void)
{
    uint64_t limit = migrate_max_bandwidth();

    measure.probes |= limit != measure.rate_limit;
    measure.rate_limit = limit;
    return measure.probes;
}

/*
 * Only an interval without a pause or a sync measures the link; until there was one, what seemed fastest has to do.
 * Too low a value would hold on to itself: nothing would be small enough to be sent.
 */
double tiered_predict_hold(double bandwidth)
{
    if (!measure.idled) {
        measure.measured = true;
        measure.probes = false;
        measure.good = bandwidth;
    } else if (!measure.measured) {
        measure.good = MAX(measure.good, bandwidth);
    }
    measure.idled = false;
    return tiered_predict_orders && measure.good > 0 ? measure.good : bandwidth;
}

uint64_t tiered_predict_link(void)
{
    return measure.good * 1000;
}

uint64_t tiered_predict_due_bytes(void)
{
    uint64_t due = 0;
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(rb) {
        int number = tiered_block_number(rb);
        uint64_t pages = rb->used_length / TIDEMARK_PAGE_SIZE;

        if (!rb->bmap || migrate_ram_is_ignored(rb)) {
            continue;
        }
        due += number >= 0 ? tidemark_precopy_due(tiered_writes(), number, rb->bmap, pages)
                           : bitmap_count_one(rb->bmap, pages);
    }
    return due * TIDEMARK_PAGE_SIZE;
}
