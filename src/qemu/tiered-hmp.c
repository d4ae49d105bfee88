/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: info tiered-memory
 */
#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-memory.h"
#include "qemu/module.h"
#include "qemu/units.h"

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
    monitor_printf(mon, "  policy: %s, cold-age %" PRIu32 " s, prefetch %s (%" PRIu32 " s)\n",
                   TieredMemoryPolicy_str(info->eviction_policy), info->cold_age,
                   info->prefetch ? "on" : "off", info->prefetch_window);
    monitor_printf(mon, "  pages: untouched %" PRIu64 ", zero %" PRIu64 ", resident %" PRIu64
                   ", staged %" PRIu64 ", stored %" PRIu64 ", arrived %" PRIu64
                   ", in transit %" PRIu64 ", held %" PRIu64 ", poisoned %" PRIu64 "\n",
                   p->untouched, p->zero, p->resident, p->staged, p->stored, p->arrived,
                   p->in_transit, p->held, p->poisoned);
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
    monitor_printf(mon, "  read ahead %" PRIu64 " (used %" PRIu64 "), prefetched %" PRIu64
                   ", pinned when tried to evict %" PRIu64 "\n", c->readahead_pages,
                   c->readahead_used, c->prefetch_pages, c->move_busy);
}

static void hmp_info_tiered_memory(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    TieredMemoryInfoList *list = qmp_query_tiered_memory(&err);

    if (hmp_handle_error(mon, err)) {
        return;
    }
    if (!list) {
        monitor_printf(mon, "There is no memory-backend-tiered object\n");
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
