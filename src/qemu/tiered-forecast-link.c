/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast a migration's link is: what was sent in windows in which there always was something to send. A window is
 * left out if the stream went quiet, was held up by looking for zero pages or by a sync, or waited for a page worth sending:
 * it says nothing about the link.
 */
#include "qemu/osdep.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/options.h"
#include "qemu/timer.h"

#include "tiered-forecast.h"
#include "tiered-predict.h"

#define WINDOW_NS (200 * SCALE_MS)
/* Of a window: so much of something else is no harm. */
#define HELD_NS (WINDOW_NS / 10)

static void next_window(TieredLink *link, int64_t now)
{
    link->since_ns = now;
    link->bytes = migration_transferred_bytes();
    link->zeros = stat64_get(&mig_stats.zero_pages);
    link->held_ns = tiered_predict_link_held_ns();
    link->idle = false;
}

void tiered_link_start(TieredLink *link)
{
    *link = (TieredLink) { .limit = migrate_max_bandwidth() };
}

void tiered_link_note(TieredLink *link, bool more)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    uint64_t sent, zeros;

    if (link->limit != migrate_max_bandwidth()) {
        /* What it carried under another limit says nothing about this one. */
        qatomic_store_release(&link->count, 0);
        link->limit = migrate_max_bandwidth();
        link->since_ns = 0;
    }
    if (!link->since_ns) {
        next_window(link, now);
        return;
    }
    link->idle |= !more || tiered_predict_link_held_ns() - link->held_ns > HELD_NS;
    if (now - link->since_ns < WINDOW_NS) {
        return;
    }
    sent = migration_transferred_bytes() - link->bytes;
    zeros = stat64_get(&mig_stats.zero_pages) - link->zeros;
    if (!link->idle && sent > zeros * 1024) {
        unsigned at = link->count % ARRAY_SIZE(link->windows);

        link->windows[at] = (double)sent * NANOSECONDS_PER_SECOND / (now - link->since_ns);
        qatomic_store_release(&link->count, link->count + 1);
    }
    next_window(link, now);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

double tiered_link_bandwidth(const TieredLink *link, double share)
{
    double sorted[ARRAY_SIZE(link->windows)];
    unsigned count = MIN(qatomic_load_acquire(&link->count), ARRAY_SIZE(sorted));

    if (!count) {
        return 0;
    }
    memcpy(sorted, link->windows, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_value);
    return sorted[MIN((unsigned)(share * count), count - 1)];
}

double tiered_link_doubt(const TieredLink *link)
{
    double middle = tiered_link_bandwidth(link, 0.5);

    if (middle <= 0) {
        return 0.1;
    }
    /* Three quarters of the way between the quartiles is a standard deviation; windows average out. */
    return MIN(0.3, MAX(0.01, 0.37 * (tiered_link_bandwidth(link, 0.75) -
                                      tiered_link_bandwidth(link, 0.25)) / middle));
}
