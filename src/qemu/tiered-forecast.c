/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forecasts of migrations: what one would cost, whether the one that runs will come to an end, and what is done about
 * it if it will not.
 *
 * The migration's thread looks at it again after each sync of the dirty bitmap. What others ask for is made anew,
 * under the BQL. A migration that nobody asked anything special of (no learning, no predictor, no reaction) is left
 * as it is.
 */
#include "qemu/osdep.h"
#include <math.h>
#include "system/cpu-throttle.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-migration-forecast.h"
#include "qapi/qapi-events-tiered-migration-forecast.h"
#include "qemu/module.h"
#include "qemu/timer.h"

#include "hostmem-tiered.h"
#include "tiered-forecast.h"
#include "tiered-memory-hooks.h"
#include "tiered-migration-config.h"
#include "tiered-predict.h"
#include "trace.h"

/* The first syncs are looked at at once; then there is at least so much between two looks. */
#define PROMPT_SYNCS 4
#define INTERVAL_NS (250 * SCALE_MS)
/* Of the downtime: stopping the guest, device state, and what lies in buffers of the connection. */
#define OVERHEAD_MS 15
/* What was told longer before the start than this was of another moment. */
#define TOLD_NS (60 * NANOSECONDS_PER_SECOND)
/* The same terms: a link that was as fast as was reckoned, within this share. */
#define SAME_BANDWIDTH 0.1
/*
 * Of the downtime: from the source's last word to the guest's going on at its destination, which the source does not
 * see. Measured here: 3 to 7 ms more than the source says.
 */
#define RESUME_MS 5
/* Of a bandwidth that whoever asks has named: what headers and bursts make of it. */
#define NAMED_DOUBT 0.02

/* What somebody was told before a migration began. */
typedef struct Told {
    struct tidemark_forecast_error error; /* what came is not in it yet */
    double bandwidth;                     /* reckoned with */
    uint64_t limit_ms;
    int64_t when_ns; /* 0: nobody asked, or there was no verdict */
} Told;

typedef struct Forecasting {
    /* under the BQL */
    Told told;
    double last_bandwidth;           /* of the last migration */
    struct tidemark_forecast_error outcome;
    bool have_outcome;

    bool running; /* RAM is being sent to another QEMU, by precopy, and we watch it; atomic */
    uint64_t zero_pages; /* before the first was sent */
    TieredLink link;
    /* the migration's thread */
    uint64_t syncs; /* that have been looked at */
    int64_t looked_ns;
    MigrationVerdict verdict;
    struct tidemark_forecast_error first; /* the first forecast with a verdict, and what came */
    bool have_first;
} Forecasting;

static Forecasting fc;

/* ---- Asking ---- */

static double likely_bandwidth(void)
{
    MigrationState *s = migrate_get_current();
    double measured = qatomic_read(&fc.running) ? tiered_link_bandwidth(&fc.link, 0.5) : 0;

    if (measured > 0) {
        return measured;
    }
    if (migration_is_running() && s->mbps > 0) {
        return s->mbps * 1000 * 1000 / 8;
    }
    if (fc.last_bandwidth > 0) {
        return fc.last_bandwidth;
    }
    if (migrate_avail_switchover_bandwidth()) {
        return migrate_avail_switchover_bandwidth();
    }
    /* The maximum says what is allowed, not what the link carries. */
    return qatomic_read(&fc.running) ? 0 : migrate_max_bandwidth();
}

/* Does this migration promise not to pass the limit? Others are left as they are. */
static bool keeps_limit(void)
{
    return tiered_forecast_wants_looks() ||
           tiered_migration_predictor() == MIGRATION_PREDICTOR_ON;
}

/* Of so many ms of downtime. */
static uint64_t limit_for_ram(uint64_t limit_ms)
{
    return keeps_limit() ? limit_ms - MIN(OVERHEAD_MS, limit_ms / 4) : limit_ms;
}

static void fill_terms(struct tidemark_forecast_terms *t, double bandwidth, uint64_t limit_ms,
                       uint64_t zero_pages)
{
    MigrationState *s = migrate_get_current();

    tidemark_forecast_terms_init(t);
    t->bandwidth = bandwidth;
    t->bandwidth_doubt = tiered_link_doubt(&fc.link);
    t->bandwidth_set = migrate_max_bandwidth() && bandwidth > 0.8 * migrate_max_bandwidth();
    t->downtime_limit = limit_ms / 1000.0;
    t->reserve = (limit_ms - limit_for_ram(limit_ms)) / 1000.0;
    t->overhead = OVERHEAD_MS / 1000.0;
    t->pages = tiered_forecast_ram_pages();
    t->planned = tiered_migration_predictor() == MIGRATION_PREDICTOR_ON;
    t->zero_pages = zero_pages;
    t->running = s->state == MIGRATION_STATUS_ACTIVE;
    if (t->running) {
        uint64_t zero_sent = stat64_get(&mig_stats.zero_pages);

        t->first_pass = stat64_get(&mig_stats.dirty_sync_count) <= 1;
        t->pages_left = ram_bytes_remaining() / TIDEMARK_PAGE_SIZE;
        t->seconds_so_far = (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - s->start_time) / 1000.0;
        t->bytes_so_far = migration_transferred_bytes();
        t->zero_pages = zero_pages > zero_sent ? zero_pages - zero_sent : 0;
        t->slowed = cpu_throttle_get_percentage() / 100.0;
    }
}

static bool forecast(const struct tidemark_forecast_terms *terms, struct tidemark_forecast *f,
                     Error **errp)
{
    char msg[TIERED_MSG_SIZE];
    int ret;

    f->size = sizeof(*f);
    ret = tidemark_precopy_forecast(tiered_writes(), terms, f, msg, sizeof(msg));
    if (ret < 0) {
        error_setg(errp, "no forecast: %s", msg);
    }
    return ret == 0;
}

static void keep_raw(struct tidemark_forecast_error *error, const struct tidemark_forecast *f)
{
    error->seconds = f->raw_seconds;
    error->bytes = f->raw_bytes;
    error->downtime = f->raw_downtime;
}

static void remember_told(const struct tidemark_forecast *f,
                          const struct tidemark_forecast_terms *terms)
{
    bool verdict = tiered_forecast_verdict(f) != MIGRATION_VERDICT_UNKNOWN;

    fc.told = (Told) {
        .bandwidth = terms->bandwidth,
        .limit_ms = terms->downtime_limit * 1000 + 0.5,
        .when_ns = verdict ? qemu_clock_get_ns(QEMU_CLOCK_REALTIME) : 0,
    };
    keep_raw(&fc.told.error, f);
}

MigrationForecast *qmp_query_migrate_forecast(bool has_bandwidth, uint64_t bandwidth,
                                              bool has_downtime_limit, uint64_t downtime_limit,
                                              Error **errp)
{
    struct tidemark_forecast_terms terms;
    struct tidemark_forecast f;
    MigrationForecast *answer;
    uint64_t zero = qatomic_read(&fc.running) ? fc.zero_pages : tiered_forecast_zero_pages();

    if ((has_bandwidth && !bandwidth) || (has_downtime_limit && !downtime_limit)) {
        error_setg(errp, "bandwidth and downtime-limit must be more than 0");
        return NULL;
    }
    fill_terms(&terms, has_bandwidth ? bandwidth : likely_bandwidth(),
               has_downtime_limit ? downtime_limit : migrate_downtime_limit(), zero);
    if (has_bandwidth) {
        terms.bandwidth_doubt = NAMED_DOUBT;
    }
    if (!forecast(&terms, &f, errp)) {
        return NULL;
    }
    if (!migration_is_running()) {
        remember_told(&f, &terms);
    }
    answer = tiered_forecast_to_qapi(&f, &terms);
    if (fc.have_outcome) {
        answer->outcome = tiered_forecast_error_to_qapi(&fc.outcome);
    }
    return answer;
}

void qmp_migrate_forecast_calibrate(MigrationForecastErrorList *list, Error **errp)
{
    g_autofree struct tidemark_forecast_error *errors = NULL;
    size_t count = 0;

    for (MigrationForecastErrorList *l = list; l; l = l->next) {
        errors = g_renew(struct tidemark_forecast_error, errors, count + 1);
        errors[count++] = tiered_forecast_error_from_qapi(l->value);
    }
    tidemark_forecast_calibrate(errors, count);
}

/* ---- The running migration ---- */

static void announce(const struct tidemark_forecast *f, MigrationVerdict verdict)
{
    bool bad = verdict == MIGRATION_VERDICT_WILL_NOT_CONVERGE;

    trace_tiered_forecast(MigrationVerdict_str(verdict), fc.syncs, f->chance * 100, f->reason);
    if (verdict == fc.verdict) {
        return;
    }
    fc.verdict = verdict;
    qapi_event_send_migrate_forecast(verdict, f->reason, fc.syncs, bad, tiered_reaction(),
                                     f->remedy_count > 0,
                                     f->remedy_count ? tiered_forecast_remedy(&f->remedies[0]) : 0);
}

/* Is it time for another look? */
static bool due(int64_t now)
{
    uint64_t syncs = stat64_get(&mig_stats.dirty_sync_count);

    if (!tiered_reaction_settled(now) || (syncs == fc.syncs && fc.looked_ns) ||
        (syncs > PROMPT_SYNCS && now - fc.looked_ns < INTERVAL_NS) ||
        tiered_link_bandwidth(&fc.link, 0.5) <= 0) {
        return false;
    }
    fc.syncs = syncs;
    fc.looked_ns = now;
    return true;
}

void tiered_forecast_iterate(uint64_t pending)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    struct tidemark_forecast_terms terms;
    struct tidemark_forecast f;
    MigrationVerdict verdict;

    if (!qatomic_read(&fc.running)) {
        return;
    }
    tiered_link_note(&fc.link, pending > 0);
    if (migrate_get_current()->state != MIGRATION_STATUS_ACTIVE || !due(now)) {
        return;
    }
    fill_terms(&terms, likely_bandwidth(), migrate_downtime_limit(), fc.zero_pages);
    if (!forecast(&terms, &f, NULL)) {
        return;
    }
    verdict = tiered_forecast_verdict(&f);
    if (verdict != MIGRATION_VERDICT_UNKNOWN && !fc.have_first) {
        keep_raw(&fc.first, &f);
        fc.have_first = true;
    }
    announce(&f, verdict);
    if (verdict == MIGRATION_VERDICT_WILL_NOT_CONVERGE) {
        tiered_reaction_carry_out(&f, now);
    }
}

/*
 * Stock QEMU takes what was sent in the last tenth of a second for the link's speed, and the whole limit for RAM: a
 * burst into a buffer makes it stop the guest for too long. Slow moments count here, and devices have their part.
 */
void tiered_forecast_threshold(uint64_t *threshold)
{
    double bandwidth;

    if (!qatomic_read(&fc.running) || !keeps_limit()) {
        return;
    }
    bandwidth = migrate_avail_switchover_bandwidth() ?: tiered_link_bandwidth(&fc.link, 0.2);
    if (bandwidth > 0) {
        /* Less than a page, but not 0: QEMU would never sync again. */
        *threshold = MAX(bandwidth * limit_for_ram(migrate_downtime_limit()) / 1000, 2);
    }
}

/* ---- Start and end ---- */

static void migration_begins(void)
{
    fc.zero_pages = tiered_forecast_zero_pages();
    fc.syncs = 0;
    fc.looked_ns = 0;
    fc.verdict = MIGRATION_VERDICT_UNKNOWN;
    fc.have_first = false;
    if (qemu_clock_get_ns(QEMU_CLOCK_REALTIME) - fc.told.when_ns > TOLD_NS) {
        fc.told.when_ns = 0;
    }
    tiered_reaction_begins();
    tiered_link_start(&fc.link);
    qatomic_set(&fc.running, true);
}

/* What counts is what somebody relied on: if it was about this migration, what was told before it began. */
static const struct tidemark_forecast_error *forecast_to_judge(void)
{
    const Told *told = &fc.told;

    if (told->when_ns && told->limit_ms == migrate_downtime_limit() &&
        fabs(fc.last_bandwidth - told->bandwidth) < SAME_BANDWIDTH * told->bandwidth) {
        return &told->error;
    }
    return &fc.first;
}

static void migration_ends(bool completed)
{
    MigrationState *s = migrate_get_current();

    tiered_reaction_ends();
    if (!qatomic_read(&fc.running)) {
        return;
    }
    qatomic_set(&fc.running, false);
    fc.last_bandwidth = tiered_link_bandwidth(&fc.link, 0.5);
    if (completed && fc.have_first) {
        fc.outcome = *forecast_to_judge();
        fc.outcome.actual_seconds = s->total_time / 1000.0;
        fc.outcome.actual_bytes = migration_transferred_bytes();
        fc.outcome.actual_downtime = (s->downtime + RESUME_MS) / 1000.0;
        fc.have_outcome = true;
    }
}

/* With the BQL. RAM that goes to a file, or stays where it is, has no verdict. */
static int migration_event(NotifierWithReturn *notifier, MigrationEvent *event, Error **errp)
{
    bool wanted = tiered_migration_learns() || tiered_forecast_wants_looks() ||
                  tiered_migration_predictor() != MIGRATION_PREDICTOR_OFF;

    switch (event->type) {
    case MIG_EVENT_PRECOPY_SETUP:
        if (wanted && !migrate_mapped_ram() && !migrate_background_snapshot()) {
            migration_begins();
        }
        break;
    case MIG_EVENT_PRECOPY_DONE:
    case MIG_EVENT_PRECOPY_FAILED:
        migration_ends(event->type == MIG_EVENT_PRECOPY_DONE);
        break;
    default:
        break;
    }
    return 0;
}

static NotifierWithReturn notifier;

static void register_notifier(void)
{
    migration_add_notifier(&notifier, migration_event);
}

type_init(register_notifier);
