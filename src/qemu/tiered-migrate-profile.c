/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "tidemark-profile" of a migration stream: how warm each page of tiered memory is,
 * before the first page. And, because a section's handlers are told, the end of an incoming
 * migration, good or bad.
 *
 *    be32                blocks
 *    for each of them    counted string: the RAM block's name
 *                        be64: how many bytes follow, at most one a page and a header
 *                        what tidemark_backend_temperatures() gave (versioned, checksummed)
 *
 * While the guest runs on, the same again now and then, of what it has come to use since
 * (tidemark_backend_warmed()): the new host brings it in as the guest starts.
 *
 * Every QEMU with these patches knows the section; one without tiered memory reads over it. One
 * without the patches refuses the stream by the section's name: for those the source sends none
 * (tiered-migration-configure profile=off).
 */
#include "qemu/osdep.h"
#include "migration/migration.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/register.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "system/runstate.h"

#include "hostmem-tiered.h"
#include "tiered-migration-config.h"
#include "trace.h"

#define PROFILE_BLOCKS_MOST 64
/* Looks at what has been warmed: at this distance, and for no more than this part of the time. */
#define WARMED_MS 500
#define WARMED_SHARE 200

typedef struct Temperatures {
    const char *block;
    void *bytes;
    int64_t size;
} Temperatures;

/*
 * Not in files: a snapshot should load in any QEMU, and mapped-ram has all pages read before any
 * other section.
 */
static bool profile_is_active(void *opaque)
{
    return tiered_migration_sends_profile() && tiered_backend_exists() && !migrate_mapped_ram() &&
           !runstate_check(RUN_STATE_SAVE_VM);
}

/* The migration thread's: when to look next; 0: the stream has no such section. */
static int64_t next_look_ms;

typedef int64_t TemperaturesFn(tidemark_backend *backend, void *buffer, size_t size);

static bool take_temperatures(TieredBackend *tb, TemperaturesFn *take, Temperatures *t)
{
    RAMBlock *rb = MEMORY_BACKEND(tb)->mr.ram_block;
    size_t most = tidemark_temperatures_most(MEMORY_BACKEND(tb)->size);

    t->bytes = g_try_malloc(most);
    t->size = t->bytes ? take(tb->engine_backend, t->bytes, most) : -ENOMEM;
    t->block = qemu_ram_get_idstr(rb);
    trace_tiered_migrate_temperatures(tb->id, t->size);
    if (t->size <= 0 || !qemu_ram_is_migratable(rb)) { /* nothing is known: it goes without */
        g_free(t->bytes);
        return false;
    }
    return true;
}

static int put_temperatures(QEMUFile *f, TemperaturesFn *take)
{
    int64_t began = qemu_clock_get_ms(QEMU_CLOCK_REALTIME), now;
    Temperatures taken[PROFILE_BLOCKS_MOST];
    TieredBackend *tb = NULL;
    uint32_t blocks = 0;

    while ((tb = tiered_backend_get_next(tb))) {
        if (blocks < PROFILE_BLOCKS_MOST && take_temperatures(tb, take, &taken[blocks])) {
            blocks++;
        }
    }
    qemu_put_be32(f, blocks);
    for (uint32_t i = 0; i < blocks; i++) {
        qemu_put_counted_string(f, taken[i].block);
        qemu_put_be64(f, taken[i].size);
        qemu_put_buffer(f, taken[i].bytes, taken[i].size);
        g_free(taken[i].bytes);
    }
    now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    next_look_ms = now + MAX(WARMED_MS, WARMED_SHARE * (now - began));
    return qemu_file_get_error(f);
}

static int profile_save_setup(QEMUFile *f, void *opaque, Error **errp)
{
    return put_temperatures(f, tidemark_backend_temperatures);
}

static bool profile_is_due(void *opaque)
{
    return next_look_ms && qemu_clock_get_ms(QEMU_CLOCK_REALTIME) >= next_look_ms;
}

static int profile_save_iterate(QEMUFile *f, void *opaque)
{
    int ret = put_temperatures(f, tidemark_backend_warmed);

    return ret < 0 ? ret : 1; /* nobody has to wait for more of it */
}

static void profile_save_cleanup(void *opaque)
{
    next_look_ms = 0;
}

/* In the stream that is being loaded. */
static bool profile_came;

/* The temperatures of @rb, read from the stream; what is not wanted is read all the same. */
static int load_block(QEMUFile *f, RAMBlock *rb, uint64_t size, bool first)
{
    g_autofree void *bytes = NULL;
    char msg[TIERED_MSG_SIZE] = "";
    TieredBackend *tb;
    int ret;

    if (size > tidemark_temperatures_most(qemu_ram_get_used_length(rb))) {
        error_report("tidemark-profile: %" PRIu64 " bytes about RAM block '%s' are too many", size,
                     qemu_ram_get_idstr(rb));
        return -EINVAL;
    }
    bytes = g_try_malloc(size);
    if (!bytes && size) {
        return -ENOMEM;
    }
    if (qemu_get_buffer(f, bytes, size) != size) {
        return -EIO;
    }
    tb = tiered_migration_sends_profile() ? tiered_backend_get_by_block(rb) : NULL;
    if (!tb) {
        return 0;
    }
    ret = (first ? tidemark_backend_expect : tidemark_backend_expect_warmed)(
        tb->engine_backend, bytes, size, msg, sizeof(msg));
    trace_tiered_migrate_expect(tb->id, size, ret);
    tiered_backend_put(tb);
    if (ret < 0) {
        error_report("tidemark-profile: RAM block '%s': %s", qemu_ram_get_idstr(rb),
                     *msg ? msg : strerror(-ret));
    }
    return ret;
}

static int profile_load_state(QEMUFile *f, void *opaque, int version_id)
{
    uint32_t blocks = qemu_get_be32(f);
    int ret = qemu_file_get_error(f);
    bool first = !profile_came;

    profile_came = true;

    if (blocks > PROFILE_BLOCKS_MOST) {
        error_report("tidemark-profile: %u RAM blocks are too many", blocks);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < blocks && ret == 0; i++) {
        char name[256];
        RAMBlock *rb;

        if (!qemu_get_counted_string(f, name)) {
            return -EINVAL;
        }
        rb = qemu_ram_block_by_name(name);
        if (!rb) {
            error_report("tidemark-profile: there is no RAM block '%s'", name);
            return -EINVAL;
        }
        ret = load_block(f, rb, qemu_get_be64(f), first);
    }
    return ret;
}

/* The incoming side has come to its end, and no thread of it places pages any more. */
static int profile_load_cleanup(void *opaque)
{
    MigrationStatus state = migration_incoming_get_current()->state;

    profile_came = false;
    /* A guest that has run here after postcopy is not ours to take away. */
    if (state == MIGRATION_STATUS_FAILED && !migration_in_incoming_postcopy()) {
        tiered_incoming_void();
    } else {
        tiered_incoming_end(state == MIGRATION_STATUS_COMPLETED);
    }
    return 0;
}

static const SaveVMHandlers profile_handlers = {
    .is_active = profile_is_active,
    .is_active_iterate = profile_is_due,
    .save_setup = profile_save_setup,
    .save_live_iterate = profile_save_iterate,
    .save_cleanup = profile_save_cleanup,
    .load_state = profile_load_state,
    .load_cleanup = profile_load_cleanup,
};

static void register_profile(void)
{
    register_savevm_live("tidemark-profile", 0, 1, &profile_handlers, NULL);
}

migration_init(register_profile);
