/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A precopy that goes by what was learnt of the guest's writes.
 *
 * It begins and ends with the notifications that QEMU's migration sends anyway; in between, the migration asks here
 * which page to send next, whether to sync, and how much is left. All of that happens in the migration thread (the
 * notifications with the BQL held).
 *
 * Three traps of QEMU's loop, if pages are held back. It syncs only when little is left by the estimate: then what is
 * held back would keep it from ever syncing again, so the estimate is small as soon as nothing may be sent. It
 * completes when the estimate is 0, however much is held back: so it is never 0. And it takes a link that idles for
 * a slow one, by which no guest would ever be small enough: so the last good bandwidth is held (tiered-predict-link.c).
 *
 * And it stops the guest as soon as what is left fits into the downtime limit, be it pages that nobody will write
 * for long. They are sent first: that takes the same time, and the guest runs meanwhile.
 */
#include "qemu/osdep.h"
#include "migration/migration-stats.h"
#include "migration/migration.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "system/tcg.h"

#include "tiered-migration-config.h"
#include "tiered-predict-hooks.h"
#include "tiered-predict.h"
#include "trace.h"

/* No wait is longer: cancelling must not have to. */
#define WAIT_NS (20 * SCALE_MS)
/* However eager the plan is: a sync holds the BQL, and protects all pages again. */
#define SYNC_GAP_NS (50 * SCALE_MS)
/* A sync longer after the one before finds too much to be the last. */
#define FRESH_NS (150 * SCALE_MS)
/* The smallest estimate that brings about a sync; see above why it is not 0. */
#define SYNC_NOW 1

bool tiered_predict_orders;
bool tiered_predict_counts;

static struct {
    bool looking; /* between the start and the end of a sync */
    bool running; /* the model has a precopy */
    uint32_t version; /* of ram_list, when it began */
    bool searched, found; /* since the last estimate */
    uint64_t sync_began_ns, synced_ns;
    uint64_t gap_ns; /* between the last two syncs */
    uint64_t waits_ns;
    bool copies; /* pages may be sent from a copy */
    uint64_t low_since_ns; /* since when little enough is left to stop the guest; 0: it is not */
    bool hurries; /* lingering has cost a stop before */
    bool asked_again; /* for a fresher last sync; once is enough */
} precopy;

bool tiered_predict_busy(void)
{
    return precopy.running;
}

/* Kinds of migration that send what is set, in order. */
static bool is_plain(void)
{
    return migrate_mapped_ram() || migrate_background_snapshot() || migrate_colo() ||
           migrate_rdma();
}

/* The plan no longer holds: what is set is sent. */
static void stop_ordering(void)
{
    qatomic_set(&tiered_predict_orders, false);
}

static void begin(void)
{
    struct tidemark_precopy_terms terms;
    MigrationPredictor predictor = tiered_migration_predictor();
    char msg[512] = "";
    int ret;

    if (precopy.running || is_plain() ||
        (predictor == MIGRATION_PREDICTOR_OFF && !tiered_forecast_wants_looks()) ||
        !runstate_is_running() || !migration_is_running() || !tiered_writes()) {
        return;
    }
    tidemark_precopy_terms_init(&terms);
    terms.observe_only = predictor != MIGRATION_PREDICTOR_ON;
    terms.downtime_limit_ns = migrate_downtime_limit() * SCALE_MS;
    terms.bandwidth = migrate_avail_switchover_bandwidth();
    ret = tidemark_precopy_begin(tiered_writes(), &terms, tiered_predict_now(), msg, sizeof(msg));
    if (ret < 0) {
        warn_report("this migration goes without a forecast of the guest's writes: %s",
                    *msg ? msg : strerror(-ret));
        return;
    }
    precopy = (typeof(precopy)) {
        .running = true,
        .version = qatomic_read(&ram_list.version),
        .synced_ns = tiered_predict_now(),
        /* A delta is made against what XBZRLE remembers, which would miss what is sent past it. */
        .copies = !terms.observe_only && !migrate_xbzrle(),
    };
    tiered_predict_link_forget();
    tidemark_precopy_synced(tiered_writes(), precopy.synced_ns, 0,
                            ram_bytes_remaining() / TIDEMARK_PAGE_SIZE);
    qatomic_set(&tiered_predict_counts, true);
    qatomic_set(&tiered_predict_orders, !terms.observe_only);
}

static void end(void)
{
    enum tidemark_precopy_outcome outcome = TIDEMARK_PRECOPY_FAILED;
    MigrationState *s = migrate_get_current();

    stop_ordering();
    qatomic_set(&tiered_predict_counts, false);
    if (!precopy.running) {
        return;
    }
    precopy.running = false;
    if (s->state == MIGRATION_STATUS_COMPLETED) {
        outcome = stat64_get(&mig_stats.postcopy_bytes) ? TIDEMARK_PRECOPY_POSTCOPY
                                                        : TIDEMARK_PRECOPY_COMPLETED;
    }
    tidemark_precopy_end(tiered_writes(), outcome);
    tiered_learn_disturbed();
    if (!tiered_migration_learns()) {
        tiered_writes_forget();
    }
}

/* The log is about to be filled with what KVM, vhost and others know. */
static void before_sync(void)
{
    bool wanted = tiered_migration_learns() ||
                  tiered_migration_predictor() != MIGRATION_PREDICTOR_OFF ||
                  tiered_forecast_wants_looks();

    if (!precopy.running && (!wanted || !bql_locked() || !tiered_writes_prepare(NULL))) {
        return;
    }
    if (!precopy.running) {
        tiered_learn_settle();
    }
    precopy.looking = true;
    precopy.sync_began_ns = tiered_predict_now();
    tidemark_writes_begin(tiered_writes(), precopy.sync_began_ns);
}

static void after_sync(void)
{
    uint64_t now = tiered_predict_now();

    if (tcg_enabled() && tiered_writes()) {
        tiered_log_rearm();
    }
    if (!precopy.looking) {
        return;
    }
    precopy.looking = false;
    tidemark_writes_end(tiered_writes(), now);
    WITH_RCU_READ_LOCK_GUARD() {
        tiered_log_tell_profiles();
    }
    if (precopy.running) {
        /* It waits for vCPUs, which may be held back (cpu-throttle) and sleep. */
        tiered_predict_link_held(tiered_predict_now() - precopy.sync_began_ns);
        precopy.gap_ns = now - precopy.synced_ns;
        precopy.synced_ns = now;
        precopy.searched = false;
        tidemark_precopy_set_room(tiered_writes(), migrate_get_current()->threshold_size);
        tidemark_precopy_synced(tiered_writes(), now, tiered_predict_link(),
                                ram_bytes_remaining() / TIDEMARK_PAGE_SIZE);
    } else {
        /* A snapshot, for which the guest was stopped, or a migration that will say that it begins. */
        tiered_learn_disturbed();
    }
}

static int notified(NotifierWithReturn *notifier, void *data, Error **errp)
{
    switch (((PrecopyNotifyData *)data)->reason) {
    case PRECOPY_NOTIFY_SETUP:
        begin();
        break;
    case PRECOPY_NOTIFY_BEFORE_BITMAP_SYNC:
        before_sync();
        break;
    case PRECOPY_NOTIFY_AFTER_BITMAP_SYNC:
        after_sync();
        break;
    case PRECOPY_NOTIFY_COMPLETE:
        stop_ordering();
        break;
    case PRECOPY_NOTIFY_CLEANUP:
        end();
        break;
    default:
        break;
    }
    return 0;
}

void tiered_predict_init(void)
{
    static NotifierWithReturn notifier = { .notify = notified };
    static bool done;

    if (!done) {
        done = true;
        precopy_add_notifier(&notifier);
    }
}

void tiered_predict_feed(RAMBlock *rb)
{
    if (precopy.looking) {
        tiered_log_peek(rb);
    }
}

/* Turned off meanwhile, or blocks came or went: from now on all that is set is sent. */
static bool still_orders(void)
{
    if (tiered_migration_predictor() == MIGRATION_PREDICTOR_ON &&
        qatomic_read(&ram_list.version) == precopy.version && !migration_in_postcopy()) {
        return true;
    }
    stop_ordering();
    return false;
}

unsigned long tiered_predict_search(RAMBlock *rb, unsigned long size, unsigned long page)
{
    int number = tiered_block_number(rb);
    unsigned long next;

    if (number < 0 || !still_orders() || tiered_predict_link_probes()) {
        return find_next_bit(rb->bmap, size, page);
    }
    if (!migrate_postcopy_ram() || !tiered_postcopy_next_early(rb, number, size, &next)) {
        next = page < size ? tidemark_precopy_next(tiered_writes(), number, rb->bmap, size, page)
                           : size;
    }
    precopy.searched = true;
    precopy.found |= next < size;
    return next;
}

bool tiered_predict_send(RAMBlock *rb, unsigned long page, uint8_t **copy)
{
    static uint8_t bytes[TIDEMARK_PAGE_SIZE]; /* the migration thread's */
    int number = tiered_block_number(rb);
    tidemark_writes *writes = tiered_writes();
    uint64_t lo, hi;

    if (number < 0 || migration_in_postcopy()) {
        return false;
    }
    if (!precopy.copies || !tidemark_precopy_wants_copy(writes, number, page) ||
        !tiered_read_page(rb, page, bytes) || buffer_is_zero(bytes, sizeof(bytes))) {
        /* A zero page is sent as such, after another look at the guest's memory. */
        tidemark_precopy_sent(writes, number, page, tiered_predict_now());
        return false;
    }
    tidemark_page_hash(writes, bytes, &lo, &hi);
    if (tidemark_precopy_unchanged(writes, number, page, lo, hi)) {
        return true;
    }
    tidemark_precopy_sent_copy(writes, number, page, lo, hi, tiered_predict_now());
    *copy = bytes;
    return false;
}

/* In the migration thread, with no lock. */
static void wait_ns(uint64_t ns)
{
    precopy.waits_ns += ns;
    g_usleep(ns / SCALE_US);
    tiered_predict_link_held(ns);
}

/* In how many ns a sync is wanted, with nothing left to send before it. */
static uint64_t sync_in(uint64_t now, uint64_t threshold)
{
    uint64_t since = now - precopy.synced_ns;
    uint64_t gap = since < SYNC_GAP_NS ? SYNC_GAP_NS - since : 0;

    if (tiered_predict_due_bytes() < threshold) {
        return gap; /* it may be the last one */
    }
    return MAX(gap, tidemark_precopy_sync_in(tiered_writes(), now));
}

/*
 * While there is enough to send nothing else would sync: what is known of the writes would grow old, and coarse.
 * Within a first pass of seconds a guest may walk over half of its memory.
 */
static bool plan_is_old(uint64_t now)
{
    return now - precopy.synced_ns >= SYNC_GAP_NS &&
           tidemark_precopy_sync_in(tiered_writes(), now) == 0;
}

/* Little enough is left to stop the guest: for no longer than that would take may more be sent before. */
static bool may_linger(uint64_t now, bool low)
{
    if (!low) {
        precopy.low_since_ns = 0;
        return false;
    }
    if (!precopy.low_since_ns) {
        precopy.low_since_ns = now;
    }
    return !precopy.hurries && now - precopy.low_since_ns < migrate_downtime_limit() * SCALE_MS;
}

uint64_t tiered_predict_estimate(uint64_t bytes)
{
    uint64_t threshold = migrate_get_current()->threshold_size;
    uint64_t now = tiered_predict_now();
    bool dry = precopy.searched && !precopy.found;
    uint64_t in;

    precopy.searched = precopy.found = false;
    if (dry) {
        tiered_predict_link_idles();
    }
    if (!still_orders()) {
        return bytes;
    }
    tidemark_precopy_set_room(tiered_writes(), threshold);
    if (may_linger(now, bytes < threshold) &&
        (!dry || tidemark_precopy_advance(tiered_writes(), now) == TIDEMARK_PRECOPY_MORE)) {
        return threshold;
    }
    if (bytes < threshold) {
        return bytes;
    }
    if (!dry) {
        return plan_is_old(now) && threshold > SYNC_NOW ? SYNC_NOW : bytes;
    }
    if (tidemark_precopy_advance(tiered_writes(), now) == TIDEMARK_PRECOPY_MORE) {
        return bytes;
    }
    in = sync_in(now, threshold);
    if (!in && threshold > SYNC_NOW) {
        return SYNC_NOW;
    }
    wait_ns(in ? MIN(in, WAIT_NS) : WAIT_NS);
    /* Still dry: the next estimate asks again. */
    precopy.searched = true;
    return bytes;
}

/* Just after a sync. If it is low, the guest will be stopped. */
uint64_t tiered_predict_due(uint64_t bytes)
{
    uint64_t threshold = migrate_get_current()->threshold_size;
    uint64_t due;
    bool low;

    if (!still_orders()) {
        return bytes;
    }
    due = MIN(tiered_predict_due_bytes(), bytes);
    low = due < threshold;
    /* It was low, and what was written meanwhile undid it. */
    precopy.hurries |= !low && precopy.low_since_ns;
    if (may_linger(tiered_predict_now(), low) && precopy.gap_ns > FRESH_NS &&
        !precopy.asked_again) {
        precopy.asked_again = true;
        return threshold;
    }
    return due;
}

uint64_t tiered_predict_waited_ms(void)
{
    return precopy.waits_ns / SCALE_MS;
}
