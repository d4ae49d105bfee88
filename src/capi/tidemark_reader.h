/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark_reader.h - guest pages read for a copy of the guest (migration, dump), where they are: nothing comes
 * into DRAM by it, no page's heat changes, eviction and demotion go on. Part of tidemark.h, which includes it; same
 * conventions.
 *
 * What a fetch says of a page was so at some time during the call. Who copies a running guest clears the page's
 * dirty bit first and fetches then; a later write sets the bit again. Reading ahead may come before that: what was
 * read ahead is compared with the page once more when it is fetched.
 */
#ifndef TIDEMARK_READER_H
#define TIDEMARK_READER_H

#ifndef TIDEMARK_H
#error "include tidemark.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TIDEMARK_READER_PAGES 1024u

typedef struct tidemark_reader tidemark_reader;

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* For one thread at a time; any number a backend, each with queues of its own. pages, 2 .. TIDEMARK_READER_PAGES: the
 * most of one fetch, and of what is read ahead. They are DRAM, and count against the backend's limit. -ENOTCONN before
 * attach. Must be destroyed before the backend is. */
int tidemark_reader_create(tidemark_backend *backend, uint32_t pages, tidemark_reader **reader,
                           char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
void tidemark_reader_destroy(tidemark_reader *reader) TIDEMARK_NOEXCEPT; /* accepts NULL */

/* bytes[i]: where the page at offsets[i] can be read until the next fetch; NULL: in the block itself, where reading it
 * costs nothing more. No page twice. May wait for the disk. -EIO, -EBADMSG, -EHWPOISON if a page cannot be read back:
 * nothing of bytes is to be used then. */
int tidemark_reader_fetch(tidemark_reader *reader, const uint64_t *offsets, uint32_t count,
                          const void **bytes) TIDEMARK_NOEXCEPT;
/* These are expected to be fetched soon, in this order: reads those that are in a tier, as many as there is room
 * for, and forgets what was read ahead and is not among them. Does not wait. */
int tidemark_reader_ahead(tidemark_reader *reader, const uint64_t *offsets,
                          uint32_t count) TIDEMARK_NOEXCEPT;

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
