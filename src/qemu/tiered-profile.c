/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has been learnt about a guest: its profile as QAPI types, and the QMP commands about it.
 * query-tiered-memory-profile may run out of band, in the monitor's own thread: no BQL here.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-memory-profile.h"
#include "qapi/util.h"

#include "hostmem-tiered.h"

/* -ENODATA has one cause once a backend is in the list, and one remedy. */
static bool learns(const TieredBackend *tb, int ret, const char *msg, Error **errp)
{
    if (ret == -ENODATA) {
        msg = "nothing is learnt about it, because its property 'learn' is off; turn it on with"
              " tiered-memory-configure";
    }
    return tiered_succeeded(tb, ret, msg, errp);
}

static TieredMemoryWorkingSetSizeList *working_sets(const struct tidemark_profile *p)
{
    TieredMemoryWorkingSetSizeList *head = NULL, **tail = &head;

    for (size_t i = 0; i < ARRAY_SIZE(p->working_set); i++) {
        TieredMemoryWorkingSetSize *one = g_new0(TieredMemoryWorkingSetSize, 1);

        one->window = p->working_set[i].window;
        one->seen = p->working_set[i].seen;
        one->estimate = p->working_set[i].estimate;
        one->untested = p->working_set[i].untested;
        QAPI_LIST_APPEND(tail, one);
    }
    return head;
}

static TieredMemoryColdSetList *cold_sets(const struct tidemark_profile *p)
{
    TieredMemoryColdSetList *head = NULL, **tail = &head;

    for (size_t i = 0; i < ARRAY_SIZE(p->cold); i++) {
        TieredMemoryColdSet *one = g_new0(TieredMemoryColdSet, 1);

        one->age = p->cold[i].age;
        one->bytes = p->cold[i].bytes;
        one->tested = p->cold[i].tested;
        QAPI_LIST_APPEND(tail, one);
    }
    return head;
}

static TieredMemoryMoreDramList *more_dram(const struct tidemark_profile *p)
{
    TieredMemoryMoreDramList *head = NULL, **tail = &head;

    for (size_t i = 0; i < ARRAY_SIZE(p->more_dram); i++) {
        TieredMemoryMoreDram *one = g_new0(TieredMemoryMoreDram, 1);

        one->bytes = p->more_dram[i].bytes;
        one->saved_waits = p->more_dram[i].saved_waits;
        one->saved_refaults = p->more_dram[i].saved_refaults;
        QAPI_LIST_APPEND(tail, one);
    }
    return head;
}

static TieredMemoryHeat *heat_map(const struct tidemark_profile *p)
{
    TieredMemoryHeat *heat = g_new0(TieredMemoryHeat, 1);
    numberList **tail = &heat->cells;

    heat->cell_bytes = p->heat_cell_bytes;
    for (uint32_t i = 0; i < p->heat_cells; i++) {
        QAPI_LIST_APPEND(tail, (double)p->heat[i]);
    }
    return heat;
}

/* Of those that are judged before they may act; the others are in query-tiered-memory only. */
static TieredMemoryForecasterList *forecasters(const struct tidemark_profile *p)
{
    static const TieredMemoryOrigin origins[] = {
        TIERED_MEMORY_ORIGIN_PHASES, TIERED_MEMORY_ORIGIN_NETWORK,
    };
    TieredMemoryForecasterList *head = NULL, **tail = &head;

    for (size_t i = 0; i < ARRAY_SIZE(origins); i++) {
        const struct tidemark_forecaster *from = &p->forecasters[origins[i]];
        TieredMemoryForecaster *one = g_new0(TieredMemoryForecaster, 1);

        one->origin = origins[i];
        one->on = from->on;
        one->earning = from->earning;
        one->expected = from->expected;
        one->ordered = from->ordered;
        one->used = from->used;
        one->late = from->late;
        one->wasted = from->wasted;
        one->surely = from->surely;
        one->has_horizon = from->horizon != 0;
        one->horizon = from->horizon;
        QAPI_LIST_APPEND(tail, one);
    }
    return head;
}

TieredMemoryProfile *tiered_profile(TieredBackend *tb, bool heat, Error **errp)
{
    g_autofree struct tidemark_profile *p = g_new0(struct tidemark_profile, 1);
    TieredMemoryProfile *out;

    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_ORIGIN_GUEST != (int)TIDEMARK_ORIGIN_GUEST);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_ORIGIN_NETWORK != (int)TIDEMARK_ORIGIN_NETWORK);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_ORIGIN__MAX != (int)TIDEMARK_ORIGINS);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_WORKLOAD_DATABASE != (int)TIDEMARK_WORKLOAD_DATABASE);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_WORKLOAD_WEB != (int)TIDEMARK_WORKLOAD_WEB);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_WORKLOAD_BATCH != (int)TIDEMARK_WORKLOAD_BATCH);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_WORKLOAD_IDLE != (int)TIDEMARK_WORKLOAD_IDLE);

    p->size = sizeof(*p);
    if (!learns(tb, tidemark_backend_profile(tb->engine_backend, p), "", errp)) {
        return NULL;
    }
    out = g_new0(TieredMemoryProfile, 1);
    out->id = g_strdup(tb->id);
    out->seconds = p->seconds;
    out->watching = p->watching;
    out->lost_accesses = p->lost_accesses;
    out->working_set = working_sets(p);
    out->cold = cold_sets(p);
    out->used_per_second = p->used_pages_per_second;
    out->has_written_per_second = p->writes_known;
    out->written_per_second = p->written_pages_per_second;
    out->write_share = p->write_share;
    out->locality = p->locality;
    out->in_order = p->in_order;
    out->waits_per_second = p->waits_per_second;
    out->refaults_per_second = p->refaults_per_second;
    out->more_dram = more_dram(p);
    out->phase = p->phase;
    out->phases = p->phases;
    out->phase_changes = p->phase_changes;
    out->phase_seconds = p->phase_seconds;
    out->workload = (TieredMemoryWorkload)p->workload;
    out->workload_confidence = p->workload_confidence;
    out->workload_labelled = p->workload_labelled;
    out->heat = heat ? heat_map(p) : NULL;
    out->forecasters = forecasters(p);
    out->learner_bytes = p->learner_bytes;
    out->learner_cpu_seconds = p->learner_cpu_seconds;
    out->reclaim_slowdown = p->reclaim_slowdown;
    return out;
}

static TieredMemoryProfileList *profile_of(const char *id, bool heat, Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    TieredMemoryProfileList *head = NULL;
    TieredMemoryProfile *profile;

    if (!tb) {
        return NULL;
    }
    profile = tiered_profile(tb, heat, errp);
    if (profile) {
        QAPI_LIST_PREPEND(head, profile);
    }
    tiered_backend_put(tb);
    return head;
}

TieredMemoryProfileList *qmp_query_tiered_memory_profile(const char *id, bool has_heat, bool heat,
                                                         Error **errp)
{
    TieredMemoryProfileList *head = NULL;
    TieredBackend *tb = NULL;
    Error *err = NULL;

    heat = has_heat && heat;
    if (id) {
        return profile_of(id, heat, errp);
    }
    while ((tb = tiered_backend_get_next(tb))) {
        TieredMemoryProfile *profile = tiered_profile(tb, heat, err ? NULL : &err);

        if (profile) {
            QAPI_LIST_PREPEND(head, profile);
        }
    }
    if (head) {
        error_free(err); /* those that learn are asked for */
    } else {
        error_propagate(errp, err);
    }
    return head;
}

static TieredMemorySketch *sketch_of(TieredBackend *tb, Error **errp)
{
    g_autofree uint64_t *values = g_new(uint64_t, TIDEMARK_SKETCH_VALUES);
    size_t count = 0;
    uint64_t pages = 0;
    TieredMemorySketch *sketch;
    uint64List **tail;

    if (!tiered_succeeded(tb, tidemark_backend_sketch(tb->engine_backend, values, &count, &pages),
                          "", errp)) {
        return NULL;
    }
    sketch = g_new0(TieredMemorySketch, 1);
    sketch->id = g_strdup(tb->id);
    sketch->pages = pages;
    tail = &sketch->values;
    for (size_t i = 0; i < count; i++) {
        QAPI_LIST_APPEND(tail, values[i]);
    }
    return sketch;
}

TieredMemorySketchList *qmp_query_tiered_memory_sketch(const char *id, Error **errp)
{
    ERRP_GUARD();
    TieredMemorySketchList *head = NULL;
    TieredMemorySketch *sketch;
    TieredBackend *tb = NULL;

    if (id) {
        tb = tiered_backend_get(id, errp);
        sketch = tb ? sketch_of(tb, errp) : NULL;
        if (sketch) {
            QAPI_LIST_PREPEND(head, sketch);
        }
        if (tb) {
            tiered_backend_put(tb);
        }
        return head;
    }
    while ((tb = tiered_backend_get_next(tb))) {
        sketch = sketch_of(tb, *errp ? NULL : errp);
        if (sketch) {
            QAPI_LIST_PREPEND(head, sketch);
        }
    }
    return head;
}

void qmp_tiered_memory_set_workload(const char *id, TieredMemoryWorkload workload, Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);

    if (tb) {
        int ret = tidemark_backend_set_workload(tb->engine_backend,
                                                (enum tidemark_workload)workload);

        tiered_succeeded(tb, ret, "", errp);
        tiered_backend_put(tb);
    }
}

static void learned(const char *id, const char *file,
                    int (*call)(tidemark_backend *, const char *, char *, size_t), Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    char msg[TIERED_MSG_SIZE] = "";

    if (tb) {
        learns(tb, call(tb->engine_backend, file, msg, sizeof(msg)), msg, errp);
        tiered_backend_put(tb);
    }
}

void qmp_tiered_memory_learned_save(const char *id, const char *file, Error **errp)
{
    learned(id, file, tidemark_backend_learned_save, errp);
}

void qmp_tiered_memory_learned_load(const char *id, const char *file, Error **errp)
{
    learned(id, file, tidemark_backend_learned_load, errp);
}
