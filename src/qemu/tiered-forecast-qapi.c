/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forecasts as QAPI types, and the human monitor's view of them.
 */
#include "qemu/osdep.h"
#include <math.h>
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-migration-forecast.h"
#include "qapi/util.h"
#include "qemu/module.h"
#include "qemu/units.h"

#include "tiered-forecast.h"

static uint64_t in_units(double value, double unit)
{
    return value > 0 ? MIN(value * unit + 0.5, 1e18) : 0;
}

static MigrationBound *bound(struct tidemark_bound b, double unit)
{
    MigrationBound *q = g_new0(MigrationBound, 1);

    q->p50 = in_units(b.p50, unit);
    q->p90 = in_units(b.p90, unit);
    return q;
}

static struct tidemark_bound bound_from(const MigrationBound *q, double unit)
{
    return (struct tidemark_bound) { .p50 = q->p50 / unit, .p90 = q->p90 / unit };
}

MigrationForecastError *tiered_forecast_error_to_qapi(const struct tidemark_forecast_error *e)
{
    MigrationForecastError *q = g_new0(MigrationForecastError, 1);

    q->total_time = bound(e->seconds, 1e3);
    q->bytes = bound(e->bytes, 1);
    q->downtime = bound(e->downtime, 1e6);
    q->actual_total_time = in_units(e->actual_seconds, 1e3);
    q->actual_bytes = in_units(e->actual_bytes, 1);
    q->actual_downtime = in_units(e->actual_downtime, 1e6);
    return q;
}

struct tidemark_forecast_error tiered_forecast_error_from_qapi(const MigrationForecastError *q)
{
    return (struct tidemark_forecast_error) {
        .seconds = bound_from(q->total_time, 1e3),
        .bytes = bound_from(q->bytes, 1),
        .downtime = bound_from(q->downtime, 1e6),
        .actual_seconds = q->actual_total_time / 1e3,
        .actual_bytes = q->actual_bytes,
        .actual_downtime = q->actual_downtime / 1e6,
    };
}

MigrationVerdict tiered_forecast_verdict(const struct tidemark_forecast *f)
{
    switch (f->verdict) {
    case TIDEMARK_VERDICT_CONVERGES:
        return MIGRATION_VERDICT_CONVERGES;
    case TIDEMARK_VERDICT_WILL_NOT:
        return MIGRATION_VERDICT_WILL_NOT_CONVERGE;
    default:
        return MIGRATION_VERDICT_UNKNOWN;
    }
}

MigrationRemedyKind tiered_forecast_remedy(const struct tidemark_remedy *r)
{
    switch (r->kind) {
    case TIDEMARK_REMEDY_PREDICTOR:
        return MIGRATION_REMEDY_KIND_PREDICTOR;
    case TIDEMARK_REMEDY_WAIT:
        return MIGRATION_REMEDY_KIND_WAIT;
    case TIDEMARK_REMEDY_BANDWIDTH:
        return MIGRATION_REMEDY_KIND_BANDWIDTH;
    case TIDEMARK_REMEDY_DOWNTIME:
        return MIGRATION_REMEDY_KIND_DOWNTIME_LIMIT;
    case TIDEMARK_REMEDY_THROTTLE:
        return MIGRATION_REMEDY_KIND_THROTTLE;
    case TIDEMARK_REMEDY_POSTCOPY:
    default:
        return MIGRATION_REMEDY_KIND_POSTCOPY;
    }
}

static MigrationRemedy *remedy(const struct tidemark_remedy *r)
{
    MigrationRemedy *q = g_new0(MigrationRemedy, 1);

    q->kind = tiered_forecast_remedy(r);
    q->cost = r->cost;
    switch (q->kind) {
    case MIGRATION_REMEDY_KIND_WAIT:
        q->has_seconds = true;
        q->seconds = r->value;
        break;
    case MIGRATION_REMEDY_KIND_BANDWIDTH:
        q->has_bandwidth = true;
        q->bandwidth = in_units(r->value, 1);
        break;
    case MIGRATION_REMEDY_KIND_DOWNTIME_LIMIT:
        q->has_downtime_limit = true;
        q->downtime_limit = ceil(r->value * 1000);
        break;
    case MIGRATION_REMEDY_KIND_THROTTLE:
        q->has_percentage = true;
        q->percentage = in_units(r->value, 100);
        break;
    default:
        break;
    }
    q->total_time = in_units(r->seconds, 1e3);
    q->bytes = in_units(r->bytes, 1);
    q->downtime = in_units(r->downtime, 1e3);
    return q;
}

MigrationForecast *tiered_forecast_to_qapi(const struct tidemark_forecast *f,
                                           const struct tidemark_forecast_terms *terms)
{
    MigrationForecast *q = g_new0(MigrationForecast, 1);
    MigrationRemedyList **tail = &q->remedies;

    q->verdict = tiered_forecast_verdict(f);
    q->chance = f->chance;
    q->reason = g_strdup(f->reason);
    q->running = terms->running;
    q->bandwidth = in_units(terms->bandwidth, 1);
    q->downtime_limit = in_units(terms->downtime_limit, 1e3);
    q->total_time = bound(f->seconds, 1e3);
    q->bytes = bound(f->bytes, 1);
    q->downtime = bound(f->downtime, 1e3);
    q->irreducible = in_units(f->irreducible, 1);
    q->has_quiet_in = f->quiet_in >= 0;
    q->quiet_in = f->quiet_in;
    q->watched = f->watched;
    for (uint32_t i = 0; i < f->remedy_count; i++) {
        QAPI_LIST_APPEND(tail, remedy(&f->remedies[i]));
    }
    return q;
}

/* ---- HMP: info migrate_forecast ---- */

static void print_remedy(Monitor *mon, const MigrationRemedy *r)
{
    monitor_printf(mon, "  remedy: %s", MigrationRemedyKind_str(r->kind));
    if (r->has_seconds) {
        monitor_printf(mon, " %.0f s", r->seconds);
    } else if (r->has_bandwidth) {
        monitor_printf(mon, " %.1f MiB/s", (double)r->bandwidth / MiB);
    } else if (r->has_downtime_limit) {
        monitor_printf(mon, " %" PRIu64 " ms", r->downtime_limit);
    } else if (r->has_percentage) {
        monitor_printf(mon, " %" PRIu64 " %%", r->percentage);
    }
    monitor_printf(mon, " (cost %.2f): %" PRIu64 " ms, %.1f MiB, downtime %" PRIu64 " ms\n", r->cost,
                   r->total_time, (double)r->bytes / MiB, r->downtime);
}

static void hmp_info_migrate_forecast(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    g_autoptr(MigrationForecast) f = qmp_query_migrate_forecast(false, 0, false, 0, &err);

    if (hmp_handle_error(mon, err)) {
        return;
    }
    monitor_printf(mon, "%s: %s\n", MigrationVerdict_str(f->verdict), f->reason);
    monitor_printf(mon, "  at %.1f MiB/s, downtime limit %" PRIu64 " ms, writes watched for %.0f s\n",
                   (double)f->bandwidth / MiB, f->downtime_limit, f->watched);
    monitor_printf(mon, "  total time %" PRIu64 " (p90 %" PRIu64 ") ms, %.1f (%.1f) MiB, downtime %"
                   PRIu64 " (%" PRIu64 ") ms, irreducible %.1f MiB\n", f->total_time->p50,
                   f->total_time->p90, (double)f->bytes->p50 / MiB, (double)f->bytes->p90 / MiB,
                   f->downtime->p50, f->downtime->p90, (double)f->irreducible / MiB);
    for (MigrationRemedyList *l = f->remedies; l; l = l->next) {
        print_remedy(mon, l->value);
    }
}

static void register_hmp(void)
{
    monitor_register_hmp("migrate_forecast", true, hmp_info_migrate_forecast);
}

type_init(register_hmp);
