/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that arrive: the engine puts each where its temperature says, and what it leaves to us is
 * written to guest memory as usual. Pages that only pass through DRAM on their way to a tier, and
 * zeros, raise no fault.
 *
 * Bytes of a page are received outside of guest memory first: 4 KiB on the main channel, 512 KiB
 * a multifd channel.
 */
#include "qemu/osdep.h"
#include "io/channel.h"
#include "qapi/error.h"
#include "migration/qemu-file.h"
#include "qemu/memalign.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"

/* The bytes are @page's from now on, whoever writes them; or -ENOSPC. */
static int place(TieredBackend *tb, uint64_t offset, uint8_t *page, const uint8_t *bytes)
{
    int ret = tidemark_backend_place(tb->engine_backend, offset, bytes);

    if (ret == -ENOSPC) {
        return ret;
    }
    if (ret != 0) {
        memcpy(page, bytes, TIDEMARK_PAGE_SIZE);
    }
    return 0;
}

static void set_no_room(const TieredBackend *tb, Error **errp)
{
    error_setg(errp, "memory-backend-tiered '%s' has no room for the guest that arrives: its tiers"
               " are full or fail", tb->id);
}

bool tiered_memory_load_page(QEMUFile *f, void *host, size_t size)
{
    uint8_t space[TIDEMARK_PAGE_SIZE];
    uint8_t *bytes = space;
    uint64_t offset;
    TieredBackend *tb;

    if (size != TIDEMARK_PAGE_SIZE) {
        return false;
    }
    tb = tiered_backend_get_by_address(host, size, &offset);
    if (!tb) {
        return false;
    }
    /* If the stream ends in the page, the caller finds the file's error. */
    if (qemu_get_buffer_in_place(f, &bytes, size) == size && place(tb, offset, host, bytes) < 0) {
        Error *err = NULL;

        set_no_room(tb, &err);
        error_report_err(err);
        qemu_file_set_error(f, -ENOSPC);
    }
    tiered_backend_put(tb);
    return true;
}

bool tiered_memory_load_zero(void *host, size_t size)
{
    uint64_t offset;
    TieredBackend *tb;
    bool placed;

    if (size != TIDEMARK_PAGE_SIZE) {
        return false;
    }
    tb = tiered_backend_get_by_address(host, size, &offset);
    if (!tb) {
        return false;
    }
    placed = tidemark_backend_place(tb->engine_backend, offset, NULL) == 0;
    tiered_backend_put(tb);
    return placed;
}

static void free_space(gpointer space)
{
    qemu_vfree(space);
}

/* The calling thread's, until it ends. */
static uint8_t *thread_space(size_t pages)
{
    static GPrivate space = G_PRIVATE_INIT(free_space);
    static GPrivate space_pages = G_PRIVATE_INIT(NULL);

    if (GPOINTER_TO_SIZE(g_private_get(&space_pages)) < pages) {
        g_private_replace(&space, qemu_memalign(TIDEMARK_PAGE_SIZE, pages * TIDEMARK_PAGE_SIZE));
        g_private_set(&space_pages, GSIZE_TO_POINTER(pages));
    }
    return g_private_get(&space);
}

bool tiered_memory_recv_pages(QIOChannel *ioc, const struct iovec *iov, size_t pages, int *ret,
                              Error **errp)
{
    uint64_t offset;
    TieredBackend *tb;
    struct iovec whole;

    if (!pages || iov[0].iov_len != TIDEMARK_PAGE_SIZE) {
        return false;
    }
    tb = tiered_backend_get_by_address(iov[0].iov_base, TIDEMARK_PAGE_SIZE, &offset);
    if (!tb) {
        return false;
    }
    whole.iov_base = thread_space(pages);
    whole.iov_len = pages * TIDEMARK_PAGE_SIZE;
    *ret = qio_channel_readv_all(ioc, &whole, 1, errp);
    for (size_t i = 0; *ret == 0 && i < pages; i++) {
        uint8_t *page = iov[i].iov_base; /* all are of one block */

        if (place(tb, page - (uint8_t *)tb->host, page,
                  (uint8_t *)whole.iov_base + i * TIDEMARK_PAGE_SIZE) < 0) {
            set_no_room(tb, errp);
            *ret = -1;
        }
    }
    tiered_backend_put(tb);
    return true;
}

uint8_t *tiered_memory_unpack_to(uint8_t *host, size_t size)
{
    uint64_t offset;
    TieredBackend *tb = NULL;

    if (size == TIDEMARK_PAGE_SIZE) {
        tb = tiered_backend_get_by_address(host, size, &offset);
    }
    if (!tb) {
        return host;
    }
    tiered_backend_put(tb);
    return thread_space(1);
}

bool tiered_memory_unpacked(uint8_t *host, const uint8_t *bytes, Error **errp)
{
    uint64_t offset;
    TieredBackend *tb;
    int ret;

    if (bytes == host) {
        return true;
    }
    tb = tiered_backend_get_by_address(host, TIDEMARK_PAGE_SIZE, &offset);
    if (!tb) { /* unplugged meanwhile */
        return true;
    }
    ret = place(tb, offset, host, bytes);
    if (ret < 0) {
        set_no_room(tb, errp);
    }
    tiered_backend_put(tb);
    return ret == 0;
}

static int void_block(RAMBlock *rb, void *opaque)
{
    /* What has a file keeps what is in it: that is the file owner's. */
    if (qemu_ram_is_migratable(rb) && qemu_ram_get_fd(rb) < 0) {
        ram_block_discard_range(rb, 0, qemu_ram_get_used_length(rb));
    }
    return 0;
}

void tiered_incoming_end(bool arrived)
{
    TieredBackend *tb = NULL;

    while ((tb = tiered_backend_get_next(tb))) {
        tidemark_backend_place_end(tb->engine_backend, arrived, NULL);
    }
}

void tiered_incoming_void(void)
{
    TieredBackend *tb = NULL;

    tiered_incoming_end(false);
    if (!tiered_backend_exists()) {
        return;
    }
    while ((tb = tiered_backend_get_next(tb))) {
        tidemark_backend_erase(tb->engine_backend);
    }
    /* Such as video memory. (Tiered blocks have nothing left.) */
    qemu_ram_foreach_block(void_block, NULL);
}
