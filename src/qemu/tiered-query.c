/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's statistics as QAPI types.
 */
#include "qemu/osdep.h"
#include <math.h>
#include "qapi/error.h"
#include "qapi/util.h"

#include "hostmem-tiered.h"

/* Upper bound of latency bucket b, in nanoseconds. */
static uint64_t latency_bound(unsigned b)
{
    return (uint64_t)(250.0 * exp2((b + 1) / 4.0));
}

/* Upper bound of write-size bucket b, in bytes. */
static uint64_t write_size_bound(unsigned b)
{
    return (uint64_t)TIDEMARK_PAGE_SIZE << (b + 1);
}

static TieredMemoryBucketList *buckets(const uint64_t *counts, unsigned n,
                                       uint64_t (*bound)(unsigned))
{
    TieredMemoryBucketList *head = NULL, **tail = &head;

    for (unsigned b = 0; b < n; b++) {
        TieredMemoryBucket *bucket;

        if (!counts[b]) {
            continue;
        }
        bucket = g_new0(TieredMemoryBucket, 1);
        bucket->below = bound(b);
        bucket->count = counts[b];
        QAPI_LIST_APPEND(tail, bucket);
    }
    return head;
}

/* The bound below which at least permille/1000 of all samples lie. */
static uint64_t quantile(const uint64_t *counts, uint64_t total, unsigned permille)
{
    uint64_t need = DIV_ROUND_UP(total * permille, 1000), seen = 0;

    if (!total) {
        return 0;
    }
    for (unsigned b = 0; b < TIDEMARK_LATENCY_BUCKETS; b++) {
        seen += counts[b];
        if (seen >= need) {
            return latency_bound(b);
        }
    }
    g_assert_not_reached();
}

static TieredMemoryLatency *latency(const struct tidemark_stats *st)
{
    TieredMemoryLatency *l = g_new0(TieredMemoryLatency, 1);

    for (unsigned b = 0; b < TIDEMARK_LATENCY_BUCKETS; b++) {
        l->count += st->latency[b];
    }
    l->p50 = quantile(st->latency, l->count, 500);
    l->p99 = quantile(st->latency, l->count, 990);
    l->p999 = quantile(st->latency, l->count, 999);
    l->buckets = buckets(st->latency, TIDEMARK_LATENCY_BUCKETS, latency_bound);
    return l;
}

static TieredMemoryPages *pages(const struct tidemark_stats *st)
{
    TieredMemoryPages *p = g_new0(TieredMemoryPages, 1);

    p->untouched = st->untouched;
    p->zero = st->zero;
    p->resident = st->resident;
    p->staged = st->staged;
    p->stored = st->stored;
    p->arrived = st->arrived;
    p->in_transit = st->in_transit;
    p->held = st->held;
    p->poisoned = st->poisoned;
    p->remote = st->remote;
    return p;
}

static TieredMemoryPrefetchCountersList *prefetch_counters(const struct tidemark_stats *st)
{
    TieredMemoryPrefetchCountersList *head = NULL, **tail = &head;

    /* The guest itself brings nothing in unasked. */
    for (int i = TIERED_MEMORY_ORIGIN_GUEST + 1; i < TIERED_MEMORY_ORIGIN__MAX; i++) {
        TieredMemoryPrefetchCounters *c = g_new0(TieredMemoryPrefetchCounters, 1);

        c->origin = (TieredMemoryOrigin)i;
        c->issued = st->prefetch_issued[i];
        c->used = st->prefetch_used[i];
        c->late = st->prefetch_late[i];
        c->wasted = st->prefetch_wasted[i];
        QAPI_LIST_APPEND(tail, c);
    }
    return head;
}

static TieredMemoryCounters *counters(const struct tidemark_stats *st)
{
    TieredMemoryCounters *c = g_new0(TieredMemoryCounters, 1);

    c->faults = st->faults;
    c->faults_untouched = st->faults_untouched;
    c->faults_staged = st->faults_staged;
    c->faults_stored = st->faults_stored;
    c->faults_arrived = st->faults_arrived;
    c->faults_parked = st->faults_parked;
    c->faults_remote = st->faults_remote;
    c->remote_waits = st->remote_waits;
    c->remote_wait_ns = st->remote_wait_ns;
    c->delivered_pages = st->delivered_pages;
    c->refaults = st->refaults;
    c->readahead_pages = st->readahead_pages;
    c->readahead_used = st->readahead_used;
    c->prefetch_pages = st->prefetch_pages;
    c->prefetch_declined = st->prefetch_declined;
    c->prefetch = prefetch_counters(st);
    c->evicted_pages = st->evicted_pages;
    c->zero_elided = st->zero_elided;
    c->clean_elided = st->clean_elided;
    c->huge_moves = st->huge_moves;
    c->promoted_pages = st->promoted_pages;
    c->demoted_pages = st->demoted_pages;
    c->discarded_pages = st->discarded_pages;
    c->move_busy = st->move_busy;
    return c;
}

static TieredMemoryTierInfo *tier(const TieredMemoryTier *given,
                                  const struct tidemark_tier_stats *st)
{
    TieredMemoryTierInfo *t = g_new0(TieredMemoryTierInfo, 1);

    t->path = g_strdup(given->path);
    t->q_class = given->q_class;
    t->degraded = st->degraded;
    t->direct_io = st->direct_io;
    t->capacity = st->capacity;
    t->write_budget = given->has_write_budget ? given->write_budget : 0;
    t->used = st->used;
    t->pages = st->pages;
    t->read_bytes = st->read_bytes;
    t->written_bytes = st->written_bytes;
    t->read_errors = st->read_errors;
    t->write_errors = st->write_errors;
    t->checksum_errors = st->checksum_errors;
    t->write_sizes = buckets(st->write_sizes, TIDEMARK_WRITE_SIZE_BUCKETS, write_size_bound);
    return t;
}

TieredMemoryInfo *tiered_query(TieredBackend *tb, Error **errp)
{
    g_autofree struct tidemark_stats *st = g_new0(struct tidemark_stats, 1);
    TieredMemoryTierInfoList **tail;
    TieredMemoryTierList *given;
    TieredMemoryInfo *info;
    unsigned i = 0;
    int ret;

    st->size = sizeof(*st);
    ret = tidemark_backend_query(tb->engine_backend, st);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "memory-backend-tiered '%s' cannot be queried", tb->id);
        return NULL;
    }

    info = g_new0(TieredMemoryInfo, 1);
    info->id = g_strdup(tb->id);
    info->size = st->block_size;
    info->dram_limit = st->config.dram_limit;
    info->eviction_policy = (TieredMemoryPolicy)st->config.policy;
    info->cold_age = st->config.cold_age;
    info->prefetch = st->config.prefetch;
    info->prefetch_window = st->config.prefetch_window;
    info->learn = st->config.learn;
    info->predictors = tiered_predictor_list(st->config.predictors);
    info->reclaim_slowdown = st->config.reclaim_slowdown;
    info->group = g_strdup(tb->group);
    info->armed = st->armed;
    info->dram_used = st->dram_used;
    info->dram_slack = st->dram_slack;
    info->metadata_bytes = st->metadata_bytes;
    info->prefetch_queued = st->prefetch_queued;
    info->pages = pages(st);
    info->counters = counters(st);
    info->fault_latency = latency(st);

    tail = &info->tiers;
    for (given = tb->tiers; given && i < st->tier_count; given = given->next, i++) {
        QAPI_LIST_APPEND(tail, tier(given->value, &st->tiers[i]));
    }
    return info;
}
