/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The learner: a thread that looks at the log of dirty pages as often as the model wants, from long before a
 * migration is asked for.
 *
 * It takes bits out of the log, so it does that only while nobody else uses the log: a migration that begins sends
 * all pages anyway, and from then on tells the model what its own syncs find (tiered-predict.c). Whether somebody
 * else does is decided under the BQL, which a migration and the others hold when they start logging.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-tiered-migration.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/runstate.h"

#include "hostmem-tiered.h"
#include "tiered-predict.h"

/* Between looks when the guest is stopped, or somebody else uses the log. */
#define IDLE_NS (250 * SCALE_MS)
#define MAX_SAMPLES 256

static struct {
    QemuMutex lock;
    QemuCond wake;
    bool exists;
    bool on; /* lock and BQL */
    bool disturbed; /* BQL */
} learner;

static bool log_is_ours(void)
{
    return global_dirty_tracking == GLOBAL_DIRTY_PREDICT;
}

void tiered_learn_disturbed(void)
{
    learner.disturbed = true;
}

void tiered_learn_settle(void)
{
    if (learner.disturbed) {
        tidemark_writes_baseline(tiered_writes());
        learner.disturbed = false;
    }
}

/* Returns after how many ns to come again; *@looked if there was something to see. */
static uint64_t look(bool *looked)
{
    uint64_t wait = IDLE_NS;

    BQL_LOCK_GUARD();
    *looked = false;
    if (!learner.on) {
        return wait;
    }
    if (!log_is_ours()) {
        learner.disturbed = true;
        return wait;
    }
    /* A guest that is stopped writes nothing: that says nothing about it. */
    if (!runstate_is_running()) {
        learner.disturbed = true;
        return wait;
    }
    if (!tiered_writes_prepare(NULL)) {
        return wait;
    }
    tiered_learn_settle();
    *looked = true;
    return tiered_log_look();
}

bool tiered_read_page(RAMBlock *rb, uint64_t page, uint8_t *bytes)
{
    uint64_t offset = page * TIDEMARK_PAGE_SIZE;
    TieredBackend *tb;
    bool ok;

    if (offset >= rb->used_length) {
        return false;
    }
    tb = tiered_backend_get_by_block(rb);
    if (!tb) {
        memcpy(bytes, rb->host + offset, TIDEMARK_PAGE_SIZE);
        return true;
    }
    ok = tidemark_backend_read(tb->engine_backend, offset, bytes, TIDEMARK_PAGE_SIZE) == 0;
    tiered_backend_put(tb);
    return ok;
}

/* Do writes change the pages they go to? */
static void sample(tidemark_writes *writes)
{
    struct tidemark_page_name names[MAX_SAMPLES];
    size_t count = tidemark_writes_sample(writes, names, MAX_SAMPLES);
    uint8_t bytes[TIDEMARK_PAGE_SIZE];

    for (size_t i = 0; i < count; i++) {
        uint64_t lo, hi;
        RAMBlock *rb;

        RCU_READ_LOCK_GUARD();
        rb = tiered_block_get(names[i].block);
        /* What is unplugged must not even be read. */
        if (rb && !memory_region_has_ram_discard_manager(rb->mr) &&
            tiered_read_page(rb, names[i].page, bytes)) {
            tidemark_page_hash(writes, bytes, &lo, &hi);
            tidemark_writes_hash(writes, names[i].block, names[i].page, lo, hi);
        }
    }
}

static void *learn(void *opaque)
{
    rcu_register_thread();
    while (true) {
        bool looked;
        uint64_t wait = look(&looked);

        if (looked) {
            sample(tiered_writes());
        }
        QEMU_LOCK_GUARD(&learner.lock);
        if (learner.on) {
            qemu_cond_timedwait(&learner.wake, &learner.lock, MAX(wait / SCALE_MS, 1));
        }
        while (!learner.on) {
            qemu_cond_wait(&learner.wake, &learner.lock);
        }
    }
    return NULL;
}

static void set_on(bool on)
{
    QEMU_LOCK_GUARD(&learner.lock);
    learner.on = on;
    qemu_cond_signal(&learner.wake);
}

bool tiered_learn_start(Error **errp)
{
    QemuThread thread;
    sigset_t saved;

    if (learner.on) {
        return true;
    }
    if (!tiered_predict_busy() && !tiered_writes_prepare(errp)) {
        return false;
    }
    if (!memory_global_dirty_log_start(GLOBAL_DIRTY_PREDICT, errp)) {
        return false;
    }
    learner.disturbed = true;
    if (!learner.exists) {
        qemu_mutex_init(&learner.lock);
        qemu_cond_init(&learner.wake);
        learner.exists = true;
        learner.on = true;
        tiered_block_signals(&saved);
        /* It never ends: nobody could wait for a thread that may be waiting for the BQL. */
        qemu_thread_create(&thread, "tidemark-learn", learn, NULL, QEMU_THREAD_DETACHED);
        tiered_restore_signals(&saved);
    } else {
        set_on(true);
    }
    return true;
}

void tiered_learn_stop(void)
{
    if (!learner.on) {
        return;
    }
    set_on(false);
    memory_global_dirty_log_stop(GLOBAL_DIRTY_PREDICT);
    /* A precopy that uses what was learnt goes on with it. */
    if (!tiered_predict_busy()) {
        tiered_writes_forget();
    }
}
