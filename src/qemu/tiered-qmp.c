/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands of tiered memory. query-tiered-memory and tiered-memory-resolve may run out of
 * band, in the monitor's own thread: no BQL here.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
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

void qmp_tiered_memory_configure(const char *id, bool has_dram_limit, uint64_t dram_limit,
                                 bool has_eviction_policy, TieredMemoryPolicy eviction_policy,
                                 bool has_cold_age, uint32_t cold_age, bool has_prefetch,
                                 bool prefetch, bool has_prefetch_window,
                                 uint32_t prefetch_window, Error **errp)
{
    const struct tidemark_config config = {
        .size = sizeof(config),
        .dram_limit = dram_limit,
        .policy = (enum tidemark_policy)eviction_policy,
        .cold_age = cold_age,
        .prefetch = prefetch,
        .prefetch_window = prefetch_window,
    };
    const uint32_t mask = (has_dram_limit ? TIDEMARK_CONFIG_DRAM_LIMIT : 0) |
                          (has_eviction_policy ? TIDEMARK_CONFIG_POLICY : 0) |
                          (has_cold_age ? TIDEMARK_CONFIG_COLD_AGE : 0) |
                          (has_prefetch ? TIDEMARK_CONFIG_PREFETCH : 0) |
                          (has_prefetch_window ? TIDEMARK_CONFIG_PREFETCH_WINDOW : 0);
    TieredBackend *tb = NULL;

    if (id) {
        tb = tiered_backend_get(id, errp);
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

void qmp_tiered_memory_prefetch(const char *id, TieredMemoryRangeList *ranges, bool has_target,
                                TieredMemoryTarget target, Error **errp)
{
    const enum tidemark_tier_class to =
        has_target && target == TIERED_MEMORY_TARGET_NVME ? TIDEMARK_TIER_NVME
                                                          : TIDEMARK_TIER_DRAM;
    TieredBackend *tb = tiered_backend_get(id, errp);

    if (!tb) {
        return;
    }
    for (TieredMemoryRangeList *r = ranges; r; r = r->next) {
        char msg[512] = "";
        int ret = tidemark_backend_prefetch(tb->engine_backend, r->value->offset,
                                            r->value->length, to, msg, sizeof(msg));

        if (ret < 0) {
            error_setg(errp, "memory-backend-tiered '%s', range %" PRIu64 "+%" PRIu64 ": %s",
                       id, r->value->offset, r->value->length,
                       *msg ? msg : strerror(-ret));
            break;
        }
    }
    tiered_backend_put(tb);
}

/* One call about a working set's file; NULL, and an error that names the object, if it failed. */
static TieredMemoryWorkingSet *
working_set(const char *id, const char *file,
            int (*call)(tidemark_backend *, const char *, uint64_t *, char *, size_t), Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    TieredMemoryWorkingSet *set;
    char msg[512] = "";
    uint64_t pages = 0;
    int ret;

    if (!tb) {
        return NULL;
    }
    ret = call(tb->engine_backend, file, &pages, msg, sizeof(msg));
    tiered_backend_put(tb);
    if (ret < 0) {
        error_setg(errp, "memory-backend-tiered '%s': %s", id, *msg ? msg : strerror(-ret));
        return NULL;
    }
    set = g_new0(TieredMemoryWorkingSet, 1);
    set->pages = pages;
    return set;
}

void qmp_tiered_memory_record_start(const char *id, Error **errp)
{
    TieredBackend *tb = tiered_backend_get(id, errp);
    char msg[512] = "";
    int ret;

    if (!tb) {
        return;
    }
    ret = tidemark_backend_record_start(tb->engine_backend, msg, sizeof(msg));
    tiered_backend_put(tb);
    if (ret < 0) {
        error_setg(errp, "memory-backend-tiered '%s': %s", id, *msg ? msg : strerror(-ret));
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
