/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Postcopy into tiered memory.
 *
 * QEMU registers each block with a userfaultfd of its own, which a tiered block cannot have: it is
 * the engine that sees accesses to pages that have not come. It says so with a message in a pipe,
 * which QEMU's fault thread polls like the descriptor of a vhost-user device, and the handler asks
 * the engine which pages they are. So requests leave from the fault thread, as all others do, and
 * one that is lost with the connection is repeated after recovery from QEMU's own list.
 *
 * A message only means "look": how many there are does not matter, and none is lost if the pipe is
 * full. The pipe lives as long as the process, because the engine may write to it once more after
 * the end.
 */
#include "qemu/osdep.h"
#include <linux/userfaultfd.h>
#include "exec/cpu-common.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/ram.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"
#include "trace.h"

#define WANTED_AT_ONCE 64

static int wanted_pipe[2] = { -1, -1 };
static bool registered; /* with the incoming migration; under the BQL or by its listen thread */

/* From an engine thread. */
static void tiered_wanted(void *opaque)
{
    struct uffd_msg msg = { .event = UFFD_EVENT_PAGEFAULT };

    /* If it is full, the fault thread has something to read, and will look. */
    if (write(wanted_pipe[1], &msg, sizeof(msg)) < 0 && errno != EAGAIN) {
        error_report("tiered memory: the fault thread cannot be told of a page: %s",
                     strerror(errno));
    }
}

static void request_wanted(TieredBackend *tb)
{
    RAMBlock *rb = MEMORY_BACKEND(tb)->mr.ram_block;
    struct tidemark_wanted wanted[WANTED_AT_ONCE];
    int64_t count;

    do {
        count = tidemark_backend_remote_wanted(tb->engine_backend, wanted, WANTED_AT_ONCE);
        for (int64_t i = 0; i < count; i++) {
            uint64_t address = (uintptr_t)tb->host + wanted[i].offset;
            int ret = postcopy_request_tiered_page(rb, wanted[i].offset, address,
                                                   wanted[i].thread);

            /* If the connection is broken, the page is in the list of what to ask for again. */
            trace_tiered_memory_postcopy_wanted(tb->id, wanted[i].offset, wanted[i].thread, ret);
        }
    } while (count == WANTED_AT_ONCE);
}

/* In the fault thread. */
static int tiered_wanted_handler(struct PostCopyFD *pcfd, void *msg)
{
    for (TieredBackend *tb = tiered_backend_get_next(NULL); tb; tb = tiered_backend_get_next(tb)) {
        request_wanted(tb);
    }
    return 0;
}

static int tiered_wanted_waker(struct PostCopyFD *pcfd, RAMBlock *rb, uint64_t offset)
{
    return 0; /* The engine wakes who waits as it takes the page. */
}

static int postcopy_advise(Error **errp)
{
    struct PostCopyFD pcfd = {
        .handler = tiered_wanted_handler,
        .waker = tiered_wanted_waker,
        .idstr = "tiered memory",
    };

    if (wanted_pipe[0] < 0) {
        if (!g_unix_open_pipe(wanted_pipe, FD_CLOEXEC, NULL) ||
            !g_unix_set_fd_nonblocking(wanted_pipe[0], true, NULL) ||
            !g_unix_set_fd_nonblocking(wanted_pipe[1], true, NULL)) {
            error_setg(errp, "tiered memory cannot take part in postcopy: no pipe");
            return -1;
        }
    }
    if (!registered) {
        pcfd.fd = wanted_pipe[0];
        postcopy_register_shared_ufd(&pcfd);
        registered = true;
    }
    return 0;
}

static int postcopy_notified(NotifierWithReturn *n, void *opaque, Error **errp)
{
    struct PostcopyNotifyData *data = opaque;
    struct PostCopyFD pcfd = { .fd = wanted_pipe[0] };

    switch (data->reason) {
    case POSTCOPY_NOTIFY_INBOUND_ADVISE:
        return tiered_backend_exists() ? postcopy_advise(errp) : 0;
    case POSTCOPY_NOTIFY_INBOUND_END:
        if (registered) {
            postcopy_unregister_shared_ufd(&pcfd);
            registered = false;
        }
        return 0;
    default:
        return 0;
    }
}

void tiered_postcopy_init(void)
{
    static NotifierWithReturn notifier = { .notify = postcopy_notified };
    static bool added;

    if (!added) {
        postcopy_add_notifier(&notifier);
        added = true;
    }
}

/*
 * What has not been received is at the source. Precopy may have left something else in such a page:
 * the engine fills memory in pieces larger than a page, and a device may have read it.
 */
static int mark_missing(TieredBackend *tb, RAMBlock *rb)
{
    const unsigned shift = ctz32(TIDEMARK_PAGE_SIZE) - qemu_target_page_bits();
    const unsigned long bits = rb->postcopy_length >> qemu_target_page_bits();
    unsigned long first = find_next_zero_bit(rb->receivedmap, bits, 0);
    uint64_t pages = 0;
    int ret = 0;

    while (!ret && first < bits) {
        unsigned long end = find_next_bit(rb->receivedmap, bits, first);
        /* A page of which a part is missing is missing: the source sends all parts of it. */
        uint64_t start = (uint64_t)(first >> shift) * TIDEMARK_PAGE_SIZE;
        uint64_t stop = DIV_ROUND_UP(end, 1ul << shift) * TIDEMARK_PAGE_SIZE;

        ret = tidemark_backend_remote_mark(tb->engine_backend, start, stop - start);
        pages += (stop - start) / TIDEMARK_PAGE_SIZE;
        first = find_next_zero_bit(rb->receivedmap, bits, end);
    }
    trace_tiered_memory_postcopy_begin(tb->id, pages, ret);
    return ret;
}

bool tiered_memory_postcopy_begin(RAMBlock *rb, int *ret)
{
    TieredBackend *tb = tiered_backend_get_by_block(rb);
    char msg[TIERED_MSG_SIZE] = "";

    if (!tb) {
        return false;
    }
    *ret = tidemark_backend_remote_begin(tb->engine_backend, tiered_wanted, NULL, msg,
                                         sizeof(msg));
    if (*ret == 0) {
        qemu_ram_set_uf_zeroable(rb);
        *ret = mark_missing(tb, rb);
    }
    if (*ret < 0) {
        error_report("memory-backend-tiered '%s' cannot begin postcopy: %s", tb->id,
                     *msg ? msg : strerror(-*ret));
    }
    tiered_backend_put(tb);
    return true;
}

bool tiered_memory_postcopy_place(RAMBlock *rb, void *host, const void *from, int *ret)
{
    bool tiered = false;

    do {
        /* Got anew each time: a backend that goes away waits for its users. */
        TieredBackend *tb = tiered_backend_get_by_block(rb);

        if (!tb) {
            *ret = -ENODEV; /* if it was ours */
            return tiered;
        }
        tiered = true;
        *ret = tidemark_backend_remote_deliver(tb->engine_backend,
                                               (uintptr_t)host - (uintptr_t)tb->host, from);
        tiered_backend_put(tb);
    } while (*ret == -EAGAIN);
    return true;
}

bool tiered_memory_postcopy_end(RAMBlock *rb)
{
    TieredBackend *tb = tiered_backend_get_by_block(rb);
    int64_t missing;

    if (!tb) {
        return false;
    }
    missing = tidemark_backend_remote_end(tb->engine_backend);
    trace_tiered_memory_postcopy_end(tb->id, missing);
    /* What virtio-mem has unplugged is never sent. */
    if (missing && !memory_region_has_ram_discard_manager(&MEMORY_BACKEND(tb)->mr)) {
        warn_report("memory-backend-tiered '%s': %" PRId64 " pages have not come from the source"
                    " and are zero", tb->id, missing);
    }
    tiered_backend_put(tb);
    return true;
}

bool tiered_postcopy_stalled(void)
{
    switch (migration_incoming_get_current()->state) {
    case MIGRATION_STATUS_POSTCOPY_PAUSED:
    case MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP:
    case MIGRATION_STATUS_POSTCOPY_RECOVER:
        return true;
    default:
        return false;
    }
}
