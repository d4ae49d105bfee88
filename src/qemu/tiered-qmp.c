/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands of tiered memory, but for those about profiles (tiered-profile.c). query-tiered-memory and tiered-memory-resolve may run out of
 * band, in the monitor's own thread: no BQL here.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-memory-prefetch.h"
#include "qapi/qapi-commands-tiered-memory-query.h"
#include "qapi/qapi-commands-tiered-memory.h"
#include "qapi/util.h"

#include "hostmem-tiered.h"

TieredMemoryInfoList *qmp_query_tiered_memory(Error **errp)
{
    TieredMemoryInfoList *head = NULL;
    TieredBackend *tb = NULL;

    while ((tb = tiered_backend_get_next(tb))) {
        TieredMemoryInfo *info = tiered_query(tb, errp);

        if (!info) {
            tiered_backend_put(tb);
            qapi_free_TieredMemoryInfoList(head);
            return NULL;
        }
        /* The list of backends has the newest first. */
        QAPI_LIST_PREPEND(head, info);
    }
    return head;
}

void qmp_tiered_memory_configure(TieredMemorySettings *given, Error **errp)
{
    const struct tidemark_config config = {
        .size = sizeof(config),
        .dram_limit = given->dram_limit,
        .policy = (enum tidemark_policy)given->eviction_policy,
        .cold_age = given->cold_age,
        .prefetch = given->prefetch,
        .prefetch_window = given->prefetch_window,
        .learn = given->learn,
        .predictors = tiered_predictor_bits(given->predictors),
        .reclaim_slowdown = given->reclaim_slowdown,
    };
    const uint32_t mask =
        (given->has_dram_limit ? TIDEMARK_CONFIG_DRAM_LIMIT : 0) |
        (given->has_eviction_policy ? TIDEMARK_CONFIG_POLICY : 0) |
        (given->has_cold_age ? TIDEMARK_CONFIG_COLD_AGE : 0) |
        (given->has_prefetch ? TIDEMARK_CONFIG_PREFETCH : 0) |
        (given->has_prefetch_window ? TIDEMARK_CONFIG_PREFETCH_WINDOW : 0) |
        (given->has_learn ? TIDEMARK_CONFIG_LEARN : 0) |
        (given->has_predictors ? TIDEMARK_CONFIG_PREDICTORS : 0) |
        (given->has_reclaim_slowdown ? TIDEMARK_CONFIG_RECLAIM_SLOWDOWN : 0);
    TieredBackend *tb = NULL;

    if (given->id) {
        tb = tiered_backend_get(given->id, errp);
        if (tb) {
            tiered_configure(tb, &config, mask, errp);
            tiered_backend_put(tb);
        }
        return;
    }
    while ((tb = tiered_backend_get_next(tb))) {
        if (!tiered_configure(tb, &config, mask, errp)) {
            tiered_backend_put(tb);
            return;
        }
    }
}

static struct tidemark_range *engine_ranges(const TieredMemoryRangeList *list, size_t *count)
{
    struct tidemark_range *ranges;
    size_t i = 0;

    *count = QAPI_LIST_LENGTH(list);
    ranges = g_new(struct tidemark_range, *count);
    for (; list; list = list->next) {
        ranges[i++] = (struct tidemark_range) { list->value->offset, list->value->length };
    }
    return ranges;
}

TieredMemoryPrefetchTicket *
qmp_tiered_memory_prefetch(const char *id, TieredMemoryRangeList *list, bool has_target,
                           TieredMemoryTarget target, bool has_confidence, double confidence,
                           bool has_deadline_ms, uint32_t deadline_ms, Error **errp)
{
    g_autofree struct tidemark_range *ranges = NULL;
    TieredMemoryPrefetchTicket *ticket = NULL;
    struct tidemark_prefetch_terms terms;
    char msg[TIERED_MSG_SIZE] = "";
    uint64_t number = 0;
    TieredBackend *tb;
    size_t count;
    int ret;

    tidemark_prefetch_terms_init(&terms);
    if (has_target && target == TIERED_MEMORY_TARGET_NVME) {
        terms.target = TIDEMARK_TIER_NVME;
    }
    if (has_confidence) {
        terms.confidence = confidence;
    }
    if (has_deadline_ms && !deadline_ms) {
        error_setg(errp, "deadline-ms is 0: the order would be too late already; 1 and more are"
                   " accepted, or none");
        return NULL;
    }
    terms.deadline_ms = has_deadline_ms ? deadline_ms : 0;

    tb = tiered_backend_get(id, errp);
    if (!tb) {
        return NULL;
    }
    ranges = engine_ranges(list, &count);
    ret = tidemark_backend_prefetch(tb->engine_backend, ranges, count, &terms, &number, msg,
                                    sizeof(msg));
    if (tiered_succeeded(tb, ret, msg, errp)) {
        ticket = g_new0(TieredMemoryPrefetchTicket, 1);
        ticket->ticket = number;
    }
    tiered_backend_put(tb);
    return ticket;
}

TieredMemoryPrefetchCancelled *qmp_tiered_memory_prefetch_cancel(const char *id, bool has_ticket,
                                                                 uint64_t ticket, Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    TieredMemoryPrefetchCancelled *result = NULL;
    int64_t pages;

    if (!tb) {
        return NULL;
    }
    pages = tidemark_backend_prefetch_cancel(tb->engine_backend, has_ticket ? ticket : 0);
    if (tiered_succeeded(tb, pages, "", errp)) {
        result = g_new0(TieredMemoryPrefetchCancelled, 1);
        result->pages = (uint64_t)pages;
    }
    tiered_backend_put(tb);
    return result;
}

/* One call about a working set's file; NULL, and an error that names the object, if it failed. */
static TieredMemoryWorkingSet *
working_set(const char *id, const char *file,
            int (*call)(tidemark_backend *, const char *, uint64_t *, char *, size_t), Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    TieredMemoryWorkingSet *set = NULL;
    char msg[TIERED_MSG_SIZE] = "";
    uint64_t pages = 0;
    int ret;

    if (!tb) {
        return NULL;
    }
    ret = call(tb->engine_backend, file, &pages, msg, sizeof(msg));
    if (tiered_succeeded(tb, ret, msg, errp)) {
        set = g_new0(TieredMemoryWorkingSet, 1);
        set->pages = pages;
    }
    tiered_backend_put(tb);
    return set;
}

void qmp_tiered_memory_record_start(const char *id, Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    char msg[TIERED_MSG_SIZE] = "";
    int ret;

    if (tb) {
        ret = tidemark_backend_record_start(tb->engine_backend, msg, sizeof(msg));
        tiered_succeeded(tb, ret, msg, errp);
        tiered_backend_put(tb);
    }
}

TieredMemoryWorkingSet *qmp_tiered_memory_record_save(const char *id, const char *file,
                                                      Error **errp)
{
    return working_set(id, file, tidemark_backend_record_save, errp);
}

TieredMemoryWorkingSet *qmp_tiered_memory_replay(const char *id, const char *file, Error **errp)
{
    return working_set(id, file, tidemark_backend_replay, errp);
}

/* Checks [offset, offset + length) against the block; a length of 0 becomes the rest of it. */
static bool check_range(TieredBackend *tb, uint64_t offset, uint64_t *length, Error **errp)
{
    const uint64_t size = MEMORY_BACKEND(tb)->size;

    if (offset < size && !*length) {
        *length = size - offset;
    }
    if (offset % TIDEMARK_PAGE_SIZE || *length % TIDEMARK_PAGE_SIZE || offset >= size ||
        *length > size - offset) {
        error_setg(errp, "range %" PRIu64 "+%" PRIu64 " is not made of whole pages of %u bytes"
                   " inside memory-backend-tiered '%s', which has %" PRIu64 " bytes", offset,
                   *length, TIDEMARK_PAGE_SIZE, tb->id, size);
        return false;
    }
    return true;
}

TieredMemoryResolveResult *qmp_tiered_memory_resolve(const char *id, bool has_offset,
                                                     uint64_t offset, bool has_length,
                                                     uint64_t length,
                                                     TieredMemoryResolveAction action,
                                                     Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    TieredMemoryResolveResult *result = NULL;
    int64_t pages;

    if (!tb) {
        return NULL;
    }
    offset = has_offset ? offset : 0;
    length = has_length ? length : 0;
    if (check_range(tb, offset, &length, errp)) {
        pages = tidemark_backend_resolve(tb->engine_backend, offset, length,
                                         action == TIERED_MEMORY_RESOLVE_ACTION_RETRY);
        if (pages < 0) {
            error_setg_errno(errp, (int)-pages,
                             "held pages of memory-backend-tiered '%s' cannot be resolved", id);
        } else {
            result = g_new0(TieredMemoryResolveResult, 1);
            result->pages = (uint64_t)pages;
        }
    }
    tiered_backend_put(tb);
    return result;
}
