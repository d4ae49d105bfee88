/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark_place.h - the pages of a guest that moves to tiered memory on another host: how warm they are, and
 * where they go. Part of tidemark.h, which includes it; same conventions.
 */
#ifndef TIDEMARK_PLACE_H
#define TIDEMARK_PLACE_H

#ifndef TIDEMARK_H
#error "include tidemark.h"
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A guest that moves from host to host. The old one says how warm each page is (-ENODATA while the block is not
 * armed: then nothing is known): versioned and checksummed bytes for the stream. Returns how many they are, or
 * -ENOBUFS if `size` is less; tidemark_temperatures_most() always suffices. */
size_t tidemark_temperatures_most(uint64_t block_size) TIDEMARK_NOEXCEPT;
int64_t tidemark_backend_temperatures(tidemark_backend *backend, void *buffer,
                                      size_t size) TIDEMARK_NOEXCEPT;
/* The same, of pages that have come into the guest's reach since it was called, or this was: the guest has used them while it
 * moved. All others are said to hold nothing. 0: there are none. Costs a bit a page. One thread at a time. */
int64_t tidemark_backend_warmed(tidemark_backend *backend, void *buffer,
                                size_t size) TIDEMARK_NOEXCEPT;
/* The new host is told, before the first page. -EINVAL if the bytes are damaged, of another version, or of a
 * block of another size: then nothing changes. Costs a byte a page until tidemark_backend_place_end(). */
int tidemark_backend_expect(tidemark_backend *backend, const void *temperatures, size_t size,
                            char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
/* And of those that were used meanwhile, as often as the old host says so; in the same thread. They are ordered in the end.
 * Also where nothing was expected; then it says nothing. */
int tidemark_backend_expect_warmed(tidemark_backend *backend, const void *temperatures, size_t size,
                                   char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
/* One page of it, with its new bytes (NULL: zeros), whatever it held: warm ones to DRAM, others on their way to a
 * tier, zeros nowhere. Waits for DRAM, never takes more than there may be; -ENOSPC if for half a minute nothing
 * can leave it: the tiers are full, or fail. Any thread, but only one for a page,
 * and none while tidemark_backend_expect() or _place_end() runs. 0, or 1: it is for the caller to write the bytes
 * to the block (it is in DRAM; or nothing was expected, or the block is not armed). Zeros are placed also
 * unexpected. */
int tidemark_backend_place(tidemark_backend *backend, uint64_t offset,
                           const void *bytes) TIDEMARK_NOEXCEPT;
struct tidemark_placed {
    size_t size;
    uint64_t mapped, staged, zero; /* pages, each as often as it came */
    uint64_t
        again; /* of them all, and of those that the caller wrote: over bytes it had sent before */
};
/* No more pages come. arrived: the guest is about to run here; those that should be in DRAM and are not are
 * ordered, warmest first, as long as such prove to be used. *placed (may be NULL) is what was done since attach. */
int tidemark_backend_place_end(tidemark_backend *backend, bool arrived,
                               struct tidemark_placed *placed) TIDEMARK_NOEXCEPT;
/* Discards the whole block, and has the tiers' files or devices forget what was written to them: a guest that
 * did not arrive leaves nothing that could be read. */
int tidemark_backend_erase(tidemark_backend *backend) TIDEMARK_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
