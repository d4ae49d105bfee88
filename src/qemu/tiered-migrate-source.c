/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest pages for a copy of the guest: migration, snapshots, dumps. What is in DRAM is read there, as
 * ever. What is not is read where it is, so that copying the guest brings nothing into DRAM.
 *
 * Each thread that copies has readers of its own, one per backend, made at its first page and gone
 * with the thread, or with tiered_source_end(). A reader holds its backend in the list: a backend's
 * memory cannot be unplugged during a migration, and a dump holds a reference on it.
 *
 * The order that makes it right is the caller's: the page's dirty bit is cleared first, then the page
 * is asked for here. tidemark_reader.h says why bytes that were read ahead are right as well.
 */
#include "qemu/osdep.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "io/channel.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "qemu/notify.h"
#include "qemu/thread.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"

#define TIERED_PAGE 4096
/* Of a reader: 512 KiB, and as many pages as a multifd packet has. */
#define SOURCE_PAGES 128

typedef struct TieredSource {
    TieredBackend *tb;
    tidemark_reader *reader; /* NULL: there is none to be had, pages are read through the block */
    uint8_t *host;
    uint64_t size;
    unsigned asked; /* pages since it was last told what comes next */
    QSLIST_ENTRY(TieredSource) next;
} TieredSource;

typedef struct TieredSources { /* of one thread */
    QSLIST_HEAD(, TieredSource) list;
    const uint8_t *last_host; /* of the block looked for last, */
    TieredSource *last;       /* and what was found: NULL if it is not tiered */
    const void **bytes;       /* of a packet */
    bool lent;                /* some of these pages are in our memory */
    Notifier thread_exit;
} TieredSources;

static __thread TieredSources *sources;

static void tiered_sources_free(void)
{
    TieredSource *source;

    while ((source = QSLIST_FIRST(&sources->list))) {
        QSLIST_REMOVE_HEAD(&sources->list, next);
        tidemark_reader_destroy(source->reader);
        tiered_backend_put(source->tb);
        g_free(source);
    }
    g_free(sources->bytes);
    g_free(sources);
    sources = NULL;
}

static void tiered_sources_thread_exit(Notifier *notifier, void *unused)
{
    tiered_sources_free();
}

void tiered_source_end(void)
{
    if (sources) {
        qemu_thread_atexit_remove(&sources->thread_exit);
        tiered_sources_free();
    }
}

static TieredSources *tiered_sources_get(void)
{
    if (!sources) {
        sources = g_new0(TieredSources, 1);
        sources->thread_exit.notify = tiered_sources_thread_exit;
        qemu_thread_atexit_add(&sources->thread_exit);
    }
    return sources;
}

static TieredSource *tiered_source_new(TieredBackend *tb, uint8_t *host, uint64_t size)
{
    TieredSource *source = g_new0(TieredSource, 1);
    char msg[TIERED_MSG_SIZE] = "";
    sigset_t saved;
    int ret;

    source->tb = tb;
    source->host = host;
    source->size = size;
    source->asked = SOURCE_PAGES;
    tiered_block_signals(&saved);
    ret = tidemark_reader_create(tb->engine_backend, SOURCE_PAGES, &source->reader, msg,
                                 sizeof(msg));
    tiered_restore_signals(&saved);
    if (ret < 0) {
        warn_report("memory-backend-tiered '%s': %s: its cold pages are read through DRAM", tb->id,
                    *msg ? msg : strerror(-ret));
    }
    return source;
}

/* The calling thread's source for the block that starts at @host; NULL if the block is not tiered. */
static TieredSource *tiered_source_get(uint8_t *host, uint64_t size)
{
    TieredBackend *tb;
    TieredSource *source;
    TieredSources *mine;

    if (!tiered_engine() || qemu_target_page_size() != TIERED_PAGE) {
        return NULL;
    }
    mine = tiered_sources_get();
    if (mine->last_host == host) {
        return mine->last;
    }
    QSLIST_FOREACH(source, &mine->list, next) {
        if (source->host == host) {
            break;
        }
    }
    tb = source ? NULL : tiered_backend_get_by_host(host);
    if (tb) {
        source = tiered_source_new(tb, host, size);
        QSLIST_INSERT_HEAD(&mine->list, source, next);
    }
    mine->last_host = host;
    mine->last = source;
    return source;
}

/* @page is asked for now, and those after it that are set in @bitmap (NULL: all) will be next. */
static void tiered_source_ahead(TieredSource *source, const unsigned long *bitmap, uint64_t page)
{
    uint64_t offsets[2 * SOURCE_PAGES];
    const uint64_t pages = source->size / TIERED_PAGE;
    uint32_t count = 0;

    if (++source->asked <= SOURCE_PAGES / 2) {
        return;
    }
    source->asked = 0;
    offsets[count++] = page * TIERED_PAGE; /* its own bit is cleared already */
    for (page++; page < pages && count < ARRAY_SIZE(offsets); page++) {
        /* No lock: a bit that changes under our eyes costs a read, or one that comes later. */
        page = bitmap ? find_next_bit(bitmap, pages, page) : page;
        if (page < pages) {
            offsets[count++] = page * TIERED_PAGE;
        }
    }
    tidemark_reader_ahead(source->reader, offsets, count);
}

static void tiered_source_error(TieredSource *source, uint64_t offset, int ret, Error **errp)
{
    error_setg_errno(errp, -ret, "memory-backend-tiered '%s': pages from offset 0x%" PRIx64
                     " on cannot be read back", source->tb->id, offset);
}

bool tiered_memory_reads_slowly(RAMBlock *rb)
{
    TieredSource *source = tiered_source_get(rb->host, rb->used_length);

    return source && source->reader;
}

bool tiered_memory_source_page(RAMBlock *rb, uint64_t offset, uint8_t **bytes)
{
    TieredSource *source = tiered_source_get(rb->host, rb->used_length);
    const uint64_t wanted = offset;
    const void *found = NULL;
    Error *err = NULL;
    int ret;

    if (!source || !source->reader) {
        return true;
    }
    tiered_source_ahead(source, rb->bmap, wanted / TIERED_PAGE);
    ret = tidemark_reader_fetch(source->reader, &wanted, 1, &found);
    if (ret < 0) {
        tiered_source_error(source, offset, ret, &err);
        migrate_set_error(migrate_get_current(), err);
        error_report_err(err);
        return false;
    }
    if (found) {
        *bytes = (uint8_t *)found;
    }
    return true;
}

bool tiered_memory_source_pages(RAMBlock *rb, const uint64_t *offsets, uint32_t count,
                                struct QIOChannel *channel, const void ***bytes, Error **errp)
{
    TieredSource *source = tiered_source_get(rb->host, rb->used_length);
    uint64_t wanted[SOURCE_PAGES];
    int ret;

    *bytes = NULL;
    if (!source || !source->reader || count > SOURCE_PAGES) {
        return true;
    }
    /* The kernel may not have sent what it was given of the last packet. */
    if (sources->lent && migrate_zero_copy_send() && qio_channel_flush(channel, errp) < 0) {
        return false;
    }
    sources->lent = false;
    for (uint32_t i = 0; i < count; i++) {
        wanted[i] = offsets[i];
    }
    if (!sources->bytes) {
        sources->bytes = g_new(const void *, SOURCE_PAGES);
    }
    ret = tidemark_reader_fetch(source->reader, wanted, count, sources->bytes);
    if (ret < 0) {
        tiered_source_error(source, wanted[0], ret, errp);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (sources->bytes[i]) {
            sources->lent = true;
        } else {
            sources->bytes[i] = rb->host + wanted[i];
        }
    }
    *bytes = sources->bytes;
    return true;
}

void *tiered_memory_dump_page(RAMBlock *rb, void *host, uint64_t length)
{
    TieredSource *source = rb ? tiered_source_get(rb->host, rb->used_length) : NULL;
    const void *bytes = NULL;
    uint64_t offset;

    if (!source || !source->reader) {
        return host;
    }
    offset = (uint8_t *)host - source->host;
    if (offset % TIERED_PAGE + length > TIERED_PAGE) {
        return host;
    }
    tiered_source_ahead(source, NULL, offset / TIERED_PAGE);
    offset = ROUND_DOWN(offset, TIERED_PAGE);
    /* What cannot be read back is left to the access, which waits for tiered-memory-resolve. */
    if (tidemark_reader_fetch(source->reader, &offset, 1, &bytes) < 0 || !bytes) {
        return host;
    }
    return (uint8_t *)bytes + ((uint8_t *)host - source->host - offset);
}
