/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one engine of the process, and the list of live backends.
 *
 * The list's lock is held for a few instructions only and never across a call into the engine: a
 * discard may wait there for a held page, and resolving that page must still find its backend.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"
#include "trace.h"

/* Set once, under the BQL; read anywhere. (QEMU's atomics need a complete type.) */
static void *the_engine;
static QemuMutex list_lock;
static QemuCond list_cond; /* a backend lost its last user */
static QLIST_HEAD(, TieredBackend) backends = QLIST_HEAD_INITIALIZER(backends);

static void __attribute__((constructor)) tiered_list_init(void)
{
    qemu_mutex_init(&list_lock);
    qemu_cond_init(&list_cond);
}

tidemark_engine *tiered_engine(void)
{
    return qatomic_load_acquire(&the_engine);
}

static void tiered_log(void *opaque, enum tidemark_log_level level, const char *sentence)
{
    switch (level) {
    case TIDEMARK_LOG_INFO:
        trace_tiered_memory_log(sentence);
        break;
    case TIDEMARK_LOG_WARN:
        warn_report("tiered memory: %s", sentence);
        break;
    case TIDEMARK_LOG_ERROR:
        error_report("tiered memory: %s", sentence);
        break;
    }
}

tidemark_engine *tiered_engine_start(Error **errp)
{
    struct tidemark_engine_options options;
    tidemark_engine *engine = NULL;
    char msg[TIERED_MSG_SIZE] = "";
    sigset_t saved;
    int ret;

    if (the_engine) {
        return the_engine;
    }
    tidemark_engine_options_init(&options);
    options.log = tiered_log;

    tiered_block_signals(&saved);
    ret = tidemark_engine_create(&options, &engine, msg, sizeof(msg));
    tiered_restore_signals(&saved);
    if (ret < 0) {
        error_setg(errp, "tiered memory cannot start: %s", *msg ? msg : strerror(-ret));
        return NULL;
    }
    qatomic_store_release(&the_engine, engine);
    return engine;
}

void tiered_block_signals(sigset_t *saved)
{
    sigset_t all;

    sigfillset(&all);
    /* These come from the thread's own instructions and must not be lost. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &all, saved);
}

void tiered_restore_signals(const sigset_t *saved)
{
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}

bool tiered_succeeded(const TieredBackend *tb, int64_t ret, const char *msg, Error **errp)
{
    if (ret < 0) {
        error_setg(errp, "memory-backend-tiered '%s': %s", tb->id,
                   *msg ? msg : strerror((int)-ret));
    }
    return ret >= 0;
}

void tiered_backend_list(TieredBackend *tb)
{
    QEMU_LOCK_GUARD(&list_lock);
    g_assert(!tb->listed);
    tb->listed = true;
    QLIST_INSERT_HEAD(&backends, tb, next);
}

void tiered_backend_unlist(TieredBackend *tb)
{
    QEMU_LOCK_GUARD(&list_lock);
    if (!tb->listed) {
        return;
    }
    tb->listed = false;
    QLIST_REMOVE(tb, next);
    while (tb->users) {
        qemu_cond_wait(&list_cond, &list_lock);
    }
}

TieredBackend *tiered_backend_get(const char *id, Error **errp)
{
    TieredBackend *tb;

    QEMU_LOCK_GUARD(&list_lock);
    QLIST_FOREACH(tb, &backends, next) {
        if (g_str_equal(tb->id, id)) {
            tb->users++;
            return tb;
        }
    }
    error_setg(errp, "there is no memory-backend-tiered object with id '%s'", id);
    return NULL;
}

TieredBackend *tiered_backend_get_by_block(RAMBlock *rb)
{
    return tiered_backend_get_by_host(qemu_ram_get_host_addr(rb));
}

TieredBackend *tiered_backend_get_by_host(const void *host)
{
    TieredBackend *tb;

    QEMU_LOCK_GUARD(&list_lock);
    QLIST_FOREACH(tb, &backends, next) {
        if (tb->host == host) {
            tb->users++;
            return tb;
        }
    }
    return NULL;
}

TieredBackend *tiered_backend_get_by_address(const void *host, size_t size, uint64_t *offset)
{
    TieredBackend *tb;

    if (!qatomic_read(&backends.lh_first)) { /* asked for each page, also where nothing is tiered */
        return NULL;
    }
    QEMU_LOCK_GUARD(&list_lock);
    QLIST_FOREACH(tb, &backends, next) {
        *offset = (uintptr_t)host - (uintptr_t)tb->host;
        if (*offset < MEMORY_BACKEND(tb)->size && size <= MEMORY_BACKEND(tb)->size - *offset) {
            tb->users++;
            return tb;
        }
    }
    return NULL;
}

TieredBackend *tiered_backend_get_next(TieredBackend *prev)
{
    TieredBackend *tb;

    QEMU_LOCK_GUARD(&list_lock);
    /* A backend that left the list while we used it has no successor: the walk ends early, once. */
    tb = !prev ? QLIST_FIRST(&backends) : prev->listed ? QLIST_NEXT(prev, next) : NULL;
    if (tb) {
        tb->users++;
    }
    if (prev && --prev->users == 0) {
        qemu_cond_broadcast(&list_cond);
    }
    return tb;
}

void tiered_backend_put(TieredBackend *tb)
{
    QEMU_LOCK_GUARD(&list_lock);
    if (--tb->users == 0) {
        qemu_cond_broadcast(&list_cond);
    }
}

bool tiered_backend_exists(void)
{
    QEMU_LOCK_GUARD(&list_lock);
    return !QLIST_EMPTY(&backends);
}

bool tiered_memory_discard(RAMBlock *rb, uint64_t start, size_t length, int *ret)
{
    TieredBackend *tb = tiered_backend_get_by_block(rb);

    if (!tb) {
        return false;
    }
    *ret = tidemark_backend_discard(tb->engine_backend, start, length);
    trace_tiered_memory_discard(tb->id, start, length, *ret);
    tiered_backend_put(tb);
    /* Not armed: no tier has a copy and no other thread will move its pages. */
    return *ret != -ENOTCONN;
}
