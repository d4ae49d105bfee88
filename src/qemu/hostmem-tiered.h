/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory-backend-tiered, as its files see it.
 *
 * Lifetime. A backend enters the list of live backends when its block has been attached to the
 * engine, and leaves it when the block goes away. Code that may run without the BQL (QMP out of
 * band, discards) takes it from the list with tiered_backend_get() and gives it back with
 * tiered_backend_put(); leaving the list waits for those users. Property fields change only under
 * the BQL.
 */
#ifndef HOSTMEM_TIERED_H
#define HOSTMEM_TIERED_H

#include "system/hostmem.h"
#include "qapi/qapi-types-tiered-memory-profile.h"
#include "qapi/qapi-types-tiered-memory-query.h"
#include "qapi/qapi-types-tiered-memory-types.h"
#include "qemu/queue.h"
#include "tidemark.h"
#include "tidemark-compat.h"

#define TYPE_MEMORY_BACKEND_TIERED "memory-backend-tiered"
OBJECT_DECLARE_SIMPLE_TYPE(TieredBackend, MEMORY_BACKEND_TIERED)

struct TieredBackend {
    HostMemoryBackend parent_obj;

    /* properties */
    TieredMemoryTierList *tiers;
    char *group;
    struct tidemark_config config; /* dram_limit 0 = not given */

    char *id;
    void *host; /* start of the attached block, else NULL */
    tidemark_backend *engine_backend;
    bool discard_required;
    Error *migration_blocker;
    RAMBlockNotifier block_notifier;
    int64_t pressure_sent_ns; /* engine threads; atomic */
    struct TieredPostcopyOrder *precopy_order, *postcopy_order; /* tiered-postcopy-order.c */

    /* under the lock of the list */
    unsigned users;
    bool listed;
    QLIST_ENTRY(TieredBackend) next;
};

/* tiered-engine.c: the process's engine and the list of live backends */
tidemark_engine *tiered_engine(void); /* NULL until the first backend */
tidemark_engine *tiered_engine_start(Error **errp);
void tiered_backend_list(TieredBackend *tb);
void tiered_backend_unlist(TieredBackend *tb);
/* The live backend called @id, or NULL and an error. */
TieredBackend *tiered_backend_get(const char *id, Error **errp);
TieredBackend *tiered_backend_get_by_block(RAMBlock *rb);
/* The live backend whose block [@host, @host + @size) lies in, and where in it. */
TieredBackend *tiered_backend_get_by_address(const void *host, size_t size, uint64_t *offset);
TieredBackend *tiered_backend_get_by_host(const void *host); /* start of its block */
/* The live backend after @prev (which is given back), the first one for NULL, NULL at the end. */
TieredBackend *tiered_backend_get_next(TieredBackend *prev);
void tiered_backend_put(TieredBackend *tb);
bool tiered_backend_exists(void);

/*
 * Engine threads must not run QEMU's signal handlers: they inherit the mask of the thread that
 * makes them, so every call that may start threads goes between these.
 */
void tiered_block_signals(sigset_t *saved);
void tiered_restore_signals(const sigset_t *saved);

/* What the engine may need to say what is wrong. */
#define TIERED_MSG_SIZE 512
/* False, and an error that names the object, if the engine's answer @ret is an error. */
bool tiered_succeeded(const TieredBackend *tb, int64_t ret, const char *msg, Error **errp);

/* tiered-events.c */
void tiered_event(void *opaque, const struct tidemark_event *event);

/* tiered-migration.c */
bool tiered_migration_prepare(TieredBackend *tb, Error **errp);
void tiered_migration_cleanup(TieredBackend *tb);

/* tiered-postcopy.c */
void tiered_postcopy_init(void);
/* Pages are at a migration's source, and the connection to it is broken. */
bool tiered_postcopy_stalled(void);

/* tiered-migrate-dest.c: nothing more comes in; and, if the guest did not arrive, nothing is kept. */
void tiered_incoming_end(bool arrived);
void tiered_incoming_void(void);

/* tiered-postcopy-order.c */
void tiered_postcopy_order_init(void);

/* hostmem-tiered-props.c */
void tiered_class_add_properties(ObjectClass *oc);
/* As in struct tidemark_config, and as users name them. */
uint32_t tiered_predictor_bits(const TieredMemoryPredictorList *list);
TieredMemoryPredictorList *tiered_predictor_list(uint32_t bits);
/* Changes what @mask names, in the engine (if attached) and in the properties: all or nothing. */
bool tiered_configure(TieredBackend *tb, const struct tidemark_config *config, uint32_t mask,
                      Error **errp);

/* tiered-query.c */
TieredMemoryInfo *tiered_query(TieredBackend *tb, Error **errp);

/* tiered-profile.c: NULL, and an error that says why, if nothing is learnt. */
TieredMemoryProfile *tiered_profile(TieredBackend *tb, bool heat, Error **errp);

#endif
