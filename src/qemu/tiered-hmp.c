/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: info tiered-memory [-p]
 */
#include "qemu/osdep.h"
#include <math.h>
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-memory-query.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qobject/qdict.h"

#include "hostmem-tiered.h"

static void print_tier(Monitor *mon, unsigned index, const TieredMemoryTierInfo *t)
{
    monitor_printf(mon, "  tier %u: %s %s%s%s\n", index, TieredMemoryClass_str(t->q_class), t->path,
                   t->degraded ? " [degraded]" : "", t->direct_io ? "" : " [no O_DIRECT]");
    monitor_printf(mon, "    used %" PRIu64 " of %" PRIu64 " MiB, %" PRIu64 " pages only here\n",
                   t->used / MiB, t->capacity / MiB, t->pages);
    monitor_printf(mon, "    read %" PRIu64 " MiB, written %" PRIu64 " MiB; errors: read %" PRIu64
                   ", write %" PRIu64 ", checksum %" PRIu64 "\n", t->read_bytes / MiB,
                   t->written_bytes / MiB, t->read_errors, t->write_errors,
                   t->checksum_errors);
}

static void print_settings(Monitor *mon, const TieredMemoryInfo *info)
{
    monitor_printf(mon, "  policy: %s, cold-age %" PRIu32 " s (reclaim may cost %" PRIu32
                   " per mille), learn %s, prefetch %s (%" PRIu32 " s):",
                   TieredMemoryPolicy_str(info->eviction_policy), info->cold_age,
                   info->reclaim_slowdown, info->learn ? "on" : "off",
                   info->prefetch ? "on" : "off", info->prefetch_window);
    for (TieredMemoryPredictorList *l = info->predictors; l; l = l->next) {
        monitor_printf(mon, " %s", TieredMemoryPredictor_str(l->value));
    }
    monitor_printf(mon, "\n");
}

/* Where pages come from that nobody had asked for yet. */
static void print_prefetch(Monitor *mon, const TieredMemoryInfo *info)
{
    const TieredMemoryCounters *c = info->counters;

    monitor_printf(mon, "  prefetch: %" PRIu64 " queued, %" PRIu64 " declined; brought in (used, late,"
                   " wasted):\n", info->prefetch_queued, c->prefetch_declined);
    for (TieredMemoryPrefetchCountersList *l = c->prefetch; l; l = l->next) {
        const TieredMemoryPrefetchCounters *p = l->value;

        if (p->issued) {
            monitor_printf(mon, "    %s %" PRIu64 " (%" PRIu64 ", %" PRIu64 ", %" PRIu64 ")\n",
                           TieredMemoryOrigin_str(p->origin), p->issued, p->used, p->late,
                           p->wasted);
        }
    }
}

static void print_backend(Monitor *mon, const TieredMemoryInfo *info)
{
    const TieredMemoryPages *p = info->pages;
    const TieredMemoryCounters *c = info->counters;
    const TieredMemoryLatency *l = info->fault_latency;
    unsigned index = 0;

    monitor_printf(mon, "%s: %" PRIu64 " MiB%s\n", info->id, info->size / MiB,
                   info->armed ? "" : " [all in DRAM]");
    monitor_printf(mon, "  DRAM: %" PRIu64 " of %" PRIu64 " MiB (slack %" PRIu64
                   " KiB, metadata %" PRIu64 " KiB)\n", info->dram_used / MiB,
                   info->dram_limit / MiB, info->dram_slack / KiB,
                   info->metadata_bytes / KiB);
    print_settings(mon, info);
    monitor_printf(mon, "  pages: untouched %" PRIu64 ", zero %" PRIu64 ", resident %" PRIu64
                   ", staged %" PRIu64 ", stored %" PRIu64 ", arrived %" PRIu64
                   ", in transit %" PRIu64 ", held %" PRIu64 ", poisoned %" PRIu64
                   ", remote %" PRIu64 "\n",
                   p->untouched, p->zero, p->resident, p->staged, p->stored, p->arrived,
                   p->in_transit, p->held, p->poisoned, p->remote);
    for (TieredMemoryTierInfoList *t = info->tiers; t; t = t->next) {
        print_tier(mon, index++, t->value);
    }
    monitor_printf(mon, "  faults: %" PRIu64 " (untouched %" PRIu64 ", staged %" PRIu64
                   ", stored %" PRIu64 ", arrived %" PRIu64 ", parked %" PRIu64
                   "), refaults %" PRIu64 "\n",
                   c->faults, c->faults_untouched, c->faults_staged, c->faults_stored,
                   c->faults_arrived, c->faults_parked, c->refaults);
    monitor_printf(mon, "  fault latency: p50 %" PRIu64 " us, p99 %" PRIu64 " us, p99.9 %" PRIu64
                   " us\n", l->p50 / 1000, l->p99 / 1000, l->p999 / 1000);
    monitor_printf(mon, "  evicted %" PRIu64 " (no write needed: zero %" PRIu64 ", clean %" PRIu64
                   "; 2 MiB in one move %" PRIu64 "), promoted %" PRIu64 ", demoted %" PRIu64
                   ", discarded %" PRIu64 "\n",
                   c->evicted_pages, c->zero_elided, c->clean_elided, c->huge_moves,
                   c->promoted_pages, c->demoted_pages, c->discarded_pages);
    monitor_printf(mon, "  pinned when tried to evict %" PRIu64 "\n", c->move_busy);
    print_prefetch(mon, info);
}

/* From nothing to the hottest cell, each step about twice as hot as the one before. */
static void print_heat(Monitor *mon, const TieredMemoryHeat *heat)
{
    static const char steps[] = " .:-=+*#%@";
    const int last = sizeof(steps) - 2;
    double most = 0;

    for (numberList *l = heat->cells; l; l = l->next) {
        most = MAX(most, l->value);
    }
    monitor_printf(mon, "  heat, %" PRIu64 " KiB each: [", heat->cell_bytes / KiB);
    for (numberList *l = heat->cells; l; l = l->next) {
        int below = l->value > 0 ? (int)floor(log2(most / l->value)) : last;

        monitor_printf(mon, "%c", steps[l->value > 0 ? MAX(last - below, 1) : 0]);
    }
    monitor_printf(mon, "]\n");
}

static void print_sizes(Monitor *mon, const TieredMemoryProfile *p)
{
    monitor_printf(mon, "  used in the last");
    for (TieredMemoryWorkingSetSizeList *l = p->working_set; l; l = l->next) {
        monitor_printf(mon, "%s %" PRIu32 " s: %" PRIu64 " MiB (seen %" PRIu64 ", unknown %" PRIu64
                       ")", l == p->working_set ? "" : ",", l->value->window,
                       l->value->estimate / MiB, l->value->seen / MiB, l->value->untested / MiB);
    }
    monitor_printf(mon, "\n  in DRAM, not used for");
    for (TieredMemoryColdSetList *l = p->cold; l; l = l->next) {
        monitor_printf(mon, "%s %" PRIu32 " s: %" PRIu64 " MiB (tested %" PRIu64 ")",
                       l == p->cold ? "" : ",", l->value->age, l->value->bytes / MiB,
                       l->value->tested / MiB);
    }
    monitor_printf(mon, "\n  more DRAM would save waits (refaults):");
    for (TieredMemoryMoreDramList *l = p->more_dram; l; l = l->next) {
        monitor_printf(mon, "%s %" PRIu64 " MiB: %.0f (%.0f) %%", l == p->more_dram ? "" : ",",
                       l->value->bytes / MiB, 100 * l->value->saved_waits,
                       100 * l->value->saved_refaults);
    }
    monitor_printf(mon, "\n");
}

static void print_profile(Monitor *mon, const TieredMemoryProfile *p)
{
    monitor_printf(mon, "%s: looked at for %.0f s%s\n", p->id, p->seconds,
                   p->watching ? "" : " [all in DRAM: nothing to see]");
    monitor_printf(mon, "  workload: %s, %s %.2f\n", TieredMemoryWorkload_str(p->workload),
                   p->workload_labelled ? "as told; confidence" : "confidence",
                   p->workload_confidence);
    print_sizes(mon, p);
    monitor_printf(mon, "  pages a second: used %.0f, waited for %.0f, refaults %.0f, written ",
                   p->used_per_second, p->waits_per_second, p->refaults_per_second);
    if (p->has_written_per_second) {
        monitor_printf(mon, "%.0f\n", p->written_per_second);
    } else {
        monitor_printf(mon, "not known\n");
    }
    monitor_printf(mon, "  writes %.0f %% of faults, near the last ones %.0f %%, in order %.0f %%\n",
                   100 * p->write_share, 100 * p->locality, 100 * p->in_order);
    monitor_printf(mon, "  phase %" PRIu32 " of %" PRIu32 " for %.0f s, %" PRIu64 " changes\n",
                   p->phase, p->phases, p->phase_seconds, p->phase_changes);
    for (TieredMemoryForecasterList *l = p->forecasters; l; l = l->next) {
        const TieredMemoryForecaster *f = l->value;

        monitor_printf(mon, "  forecasts of %s [%s]: %" PRIu64 " pages, ordered %" PRIu64
                       "; used %" PRIu64 ", late %" PRIu64 ", not used %" PRIu64
                       "; surely right %.2f\n", TieredMemoryOrigin_str(f->origin),
                       !f->on ? "off" : f->earning ? "on" : "on, on trial", f->expected,
                       f->ordered, f->used, f->late, f->wasted, f->surely);
    }
    print_heat(mon, p->heat);
    monitor_printf(mon, "  time lost to pages that had left %.2f %%; learning took %.2f s of CPU and has %" PRIu64
                   " KiB, missed %" PRIu64 " accesses\n", 100 * p->reclaim_slowdown,
                   p->learner_cpu_seconds, p->learner_bytes / KiB, p->lost_accesses);
}

/* A sentence, not an error, for those that learn nothing: others may. */
static void print_profiles(Monitor *mon)
{
    TieredBackend *tb = NULL;

    while ((tb = tiered_backend_get_next(tb))) {
        Error *err = NULL;
        TieredMemoryProfile *profile = tiered_profile(tb, true, &err);

        if (profile) {
            print_profile(mon, profile);
            qapi_free_TieredMemoryProfile(profile);
        } else {
            monitor_printf(mon, "%s\n", error_get_pretty(err));
            error_free(err);
        }
    }
}

static void hmp_info_tiered_memory(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    TieredMemoryInfoList *list;

    if (!tiered_backend_exists()) {
        monitor_printf(mon, "There is no memory-backend-tiered object\n");
        return;
    }
    if (qdict_get_try_bool(qdict, "profile", false)) {
        print_profiles(mon);
        return;
    }
    list = qmp_query_tiered_memory(&err);
    if (hmp_handle_error(mon, err)) {
        return;
    }
    for (TieredMemoryInfoList *l = list; l; l = l->next) {
        print_backend(mon, l->value);
    }
    qapi_free_TieredMemoryInfoList(list);
}

static void register_hmp(void)
{
    monitor_register_hmp("tiered-memory", true, hmp_info_tiered_memory);
}

type_init(register_hmp);
