/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark_postcopy.h - part of tidemark.h: a guest that runs here while some of its memory is still
 * at the host it comes from.
 *
 * The engine owns the one userfaultfd a block of guest RAM can have, so it sees the accesses to pages
 * that have not come yet. It holds them, says which pages they are, and lets them go on when the bytes
 * are delivered; fetching the bytes is the caller's business, and the connection too: an access waits
 * for as long as it takes.
 */
#ifndef TIDEMARK_POSTCOPY_H
#define TIDEMARK_POSTCOPY_H

#include "tidemark.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How warm pages in the guest's reach are. */
#define TIDEMARK_COOLEST 4u
#define TIDEMARK_WARMEST 15u

struct tidemark_wanted {
    uint64_t offset; /* of the page in the block */
    int32_t thread;  /* that waits for it (gettid()), 0 if not known */
};

/* There is something new for tidemark_backend_remote_wanted(). Called from an engine thread with no lock
 * held; must not block and must not touch guest RAM. May come once more after remote_end(). */
typedef void tidemark_wanted_fn(void *opaque);

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* From now on pages may be remote. Arms the block, whatever its limit. -EALREADY if begun before,
 * -ENOTCONN before attach. */
int tidemark_backend_remote_begin(tidemark_backend *backend, tidemark_wanted_fn *wanted,
                                  void *opaque, char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
/* The range's bytes are at the other host; what is here of it is given up. -EINVAL before remote_begin().
 * A discard takes that back: the range reads as zeros, and what is delivered for it is ignored. */
int tidemark_backend_remote_mark(tidemark_backend *backend, uint64_t offset,
                                 uint64_t length) TIDEMARK_NOEXCEPT;
/* Writes what accesses wait for and has not been named before, `max` at most; returns how many, or
 * -errno. One entry for each page and thread. */
int64_t tidemark_backend_remote_wanted(tidemark_backend *backend, struct tidemark_wanted *wanted,
                                       size_t max) TIDEMARK_NOEXCEPT;
/* The bytes of one page have come (NULL: they are all zero): who waits for it goes on. A page that nobody
 * waits for goes to a tier if DRAM is short. Does nothing to a page that is not remote (any more), so a
 * page may come twice. -EAGAIN if there was no DRAM for it within 200 ms: call again. */
int tidemark_backend_remote_deliver(tidemark_backend *backend, uint64_t offset,
                                    const void *bytes) TIDEMARK_NOEXCEPT;
/* No more pages will come. Returns how many have not; they read as zeros from now on. */
int64_t tidemark_backend_remote_end(tidemark_backend *backend) TIDEMARK_NOEXCEPT;
/* At the source: how warm each page is, from 0 (nothing but zeros) by what is in tiers to
 * TIDEMARK_WARMEST. Returns how many pages, from the first, were written to levels; 0 if nothing
 * is known (the block is not armed); or -errno. */
int64_t tidemark_backend_warmth(tidemark_backend *backend, uint8_t *levels,
                                size_t pages) TIDEMARK_NOEXCEPT;
/* True while thread tid (gettid()) waits for a remote page of any backend of the engine. */
bool tidemark_engine_thread_remote(tidemark_engine *engine, int32_t tid) TIDEMARK_NOEXCEPT;

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
