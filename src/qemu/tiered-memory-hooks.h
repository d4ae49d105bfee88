/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls QEMU's own files make into the overlay. Without Tidemark they are constants, so that
 * a QEMU configured with -Dtidemark=disabled compiles to what it was.
 */
#ifndef TIERED_MEMORY_HOOKS_H
#define TIERED_MEMORY_HOOKS_H

#include "qapi/error.h"
#include "qapi/qapi-types-migration.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"

struct QIOChannel;

#ifdef CONFIG_TIDEMARK

/*
 * system/physmem.c, ram_block_discard_range(): drop DRAM and tier copies of a range of @rb.
 * Returns false if the caller has to discard it the ordinary way, else *@ret is 0 or -errno.
 */
bool tiered_memory_discard(RAMBlock *rb, uint64_t start, size_t length, int *ret);

/*
 * system/cpus.c, pause_all_vcpus(): wait for @cond until nothing but held vCPUs is left to wait
 * for: they cannot execute guest code, and will stop as soon as their page is resolved. Returns
 * false, at once, if there is no tiered memory: the ordinary wait follows.
 */
bool tiered_memory_wait_vcpus(QemuCond *cond);

/* system/runstate.c: a reset has to wait because a page is held. */
bool tiered_memory_defers_reset(void);

/* monitor/qmp-cmds.c, qmp_cont(): refuse to run while a vCPU is held. */
bool tiered_memory_may_run(Error **errp);

/*
 * system/vl.c, object_option_parse(): the visitor for an -object option in key=value form that is
 * ours, else NULL. QEMU's own parser of that form knows no lists of structures
 * (tiers.0.path=...).
 */
Visitor *tiered_memory_keyval_visitor(const char *option);

/*
 * backends/hostmem.c, setters of "merge" and "prealloc": refuse to turn @name on for tiered memory
 * that exists already. (Before that, creation refuses it.)
 */
bool tiered_memory_keeps_off(Object *obj, const char *name, bool value, Error **errp);

/* migration/options.c: refuse kinds of migration that cannot work with tiered memory. */
bool tiered_memory_check_caps(const bool *caps, Error **errp);
bool tiered_memory_check_mode(MigMode mode, Error **errp);

/*
 * migration/postcopy-ram.c, at the destination. Each returns false if @rb is not tiered: QEMU's own
 * way follows. begin: what has not been received is at the source (instead of registering the
 * block). place: a page has come, from NULL if it is all zero. end: all have.
 */
bool tiered_memory_postcopy_begin(RAMBlock *rb, int *ret);
bool tiered_memory_postcopy_place(RAMBlock *rb, void *host, const void *from, int *ret);
bool tiered_memory_postcopy_end(RAMBlock *rb);

/*
 * migration/ram.c, migration/multifd*.c: pages that arrive. False: not tiered memory (or, of
 * zeros, not to be placed), go on as usual. Else the page or pages are in guest memory, which for
 * pages of @f or @ioc includes that they have been read from there; *@ret is what
 * qio_channel_readv_all() returns. Marking them as received is the caller's.
 */
bool tiered_memory_load_page(QEMUFile *f, void *host, size_t size);
bool tiered_memory_load_zero(void *host, size_t size);
bool tiered_memory_recv_pages(struct QIOChannel *ioc, const struct iovec *iov, size_t pages,
                              int *ret, Error **errp);
/* Where to unpack a page of @host to: there, or to other @bytes, that have to be told of then. */
uint8_t *tiered_memory_unpack_to(uint8_t *host, size_t size);
bool tiered_memory_unpacked(uint8_t *host, const uint8_t *bytes, Error **errp);

/*
 * migration/ram.c: where to read the page at @offset of @rb if that is not in the block itself; good
 * until the next call. False, and an error of the migration, if it cannot be read back. The page's
 * dirty bit has been cleared. May wait for a disk if tiered_memory_reads_slowly().
 */
bool tiered_memory_source_page(RAMBlock *rb, uint64_t offset, uint8_t **bytes);
bool tiered_memory_reads_slowly(RAMBlock *rb);

/*
 * migration/multifd.c: the same for a packet, in one of its threads. *@bytes is NULL if all pages are
 * read in the block.
 */
bool tiered_memory_source_pages(RAMBlock *rb, const uint64_t *offsets, uint32_t count,
                                struct QIOChannel *channel, const void ***bytes, Error **errp);

/* dump/dump.c: where to read @length bytes of the page at @host, which lies in @rb. */
void *tiered_memory_dump_page(RAMBlock *rb, void *host, uint64_t length);

/* The calling thread has copied enough. (Other threads need not say so before they end.) */
void tiered_source_end(void);

/*
 * migration/ram.c, pss_find_next_dirty(), in postcopy: which page that is set in @bitmap goes next
 * when none is asked for; *@page is where the search would go on. False: QEMU's own order.
 */
bool tiered_memory_postcopy_next(RAMBlock *rb, const unsigned long *bitmap, unsigned long size,
                                 unsigned long *page);

/*
 * qom/object_interfaces.c, user_creatable_add_qapi(): if the host wants this VM's memory tiered,
 * turns a RAM object into a tiered one, or refuses one that can't be. Weak, because that file is
 * also part of programs without machines, such as qemu-img.
 */
bool __attribute__((weak)) tiered_domain_bind(const char **type, const char *id, QDict *props,
                                              Error **errp);

static inline bool tiered_memory_bind(const char **type, const char *id, QDict *props,
                                      Error **errp)
{
    return !tiered_domain_bind || tiered_domain_bind(type, id, props, errp);
}

/*
 * migration/migration.c, qmp_migrate(): what to do if the migration that starts will not converge. False, and an
 * error, if that can't be done.
 */
bool tiered_forecast_react(bool given, MigrationNoConvergence reaction, Error **errp);
/* migration_iteration_run(): so much is waiting to be sent. */
void tiered_forecast_iterate(uint64_t pending);
/* migration_update_counters(): lowers *@threshold to what surely keeps the downtime limit, if that was asked for. */
void tiered_forecast_threshold(uint64_t *threshold);

#else

static inline bool tiered_memory_discard(RAMBlock *rb, uint64_t start, size_t length, int *ret)
{
    return false;
}

static inline bool tiered_memory_wait_vcpus(QemuCond *cond)
{
    return false;
}

static inline bool tiered_memory_defers_reset(void)
{
    return false;
}

static inline bool tiered_memory_may_run(Error **errp)
{
    return true;
}

static inline Visitor *tiered_memory_keyval_visitor(const char *option)
{
    return NULL;
}

static inline bool tiered_memory_keeps_off(Object *obj, const char *name, bool value, Error **errp)
{
    return false;
}

static inline bool tiered_memory_check_caps(const bool *caps, Error **errp)
{
    return true;
}

static inline bool tiered_memory_check_mode(MigMode mode, Error **errp)
{
    return true;
}

static inline bool tiered_memory_postcopy_begin(RAMBlock *rb, int *ret)
{
    return false;
}

static inline bool tiered_memory_postcopy_place(RAMBlock *rb, void *host, const void *from,
                                                int *ret)
{
    return false;
}

static inline bool tiered_memory_postcopy_end(RAMBlock *rb)
{
    return false;
}

static inline bool tiered_memory_postcopy_next(RAMBlock *rb, const unsigned long *bitmap,
                                               unsigned long size, unsigned long *page)
{
    return false;
}

static inline bool tiered_memory_load_page(QEMUFile *f, void *host, size_t size)
{
    return false;
}

static inline bool tiered_memory_load_zero(void *host, size_t size)
{
    return false;
}

static inline bool tiered_memory_recv_pages(struct QIOChannel *ioc, const struct iovec *iov,
                                            size_t pages, int *ret, Error **errp)
{
    return false;
}

static inline uint8_t *tiered_memory_unpack_to(uint8_t *host, size_t size)
{
    return host;
}

static inline bool tiered_memory_unpacked(uint8_t *host, const uint8_t *bytes, Error **errp)
{
    return true;
}

static inline bool tiered_memory_source_page(RAMBlock *rb, uint64_t offset, uint8_t **bytes)
{
    return true;
}

static inline bool tiered_memory_reads_slowly(RAMBlock *rb)
{
    return false;
}

static inline bool tiered_memory_source_pages(RAMBlock *rb, const uint64_t *offsets,
                                              uint32_t count, struct QIOChannel *channel,
                                              const void ***bytes, Error **errp)
{
    *bytes = NULL;
    return true;
}

static inline void *tiered_memory_dump_page(RAMBlock *rb, void *host, uint64_t length)
{
    return host;
}

static inline void tiered_source_end(void)
{
}

static inline bool tiered_memory_bind(const char **type, const char *id, QDict *props,
                                      Error **errp)
{
    return true;
}

static inline bool tiered_forecast_react(bool given, MigrationNoConvergence reaction, Error **errp)
{
    if (given && reaction != MIGRATION_NO_CONVERGENCE_CONTINUE) {
        error_setg(errp, "this QEMU was built without Tidemark: on-no-convergence can only be"
                   " continue");
        return false;
    }
    return true;
}

static inline void tiered_forecast_iterate(uint64_t pending)
{
}

static inline void tiered_forecast_threshold(uint64_t *threshold)
{
}

#endif

/*
 * Made by our patch of migration/postcopy-ram.c: asks the source for a page that thread @tid waits
 * for. Only in the fault thread.
 */
int postcopy_request_tiered_page(RAMBlock *rb, uint64_t start, uint64_t haddr, uint32_t tid);

#endif
