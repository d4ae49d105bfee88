/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host has decided for this VM: the file domains/<uuid>.json of the run directory
 * (/run/tidemark, or $TIDEMARK_RUN), which the libvirt hook writes before QEMU starts.
 */
#ifndef TIERED_DOMAIN_H
#define TIERED_DOMAIN_H

#include "qobject/qdict.h"

/* The format of the file that this QEMU reads. */
#define TIERED_DOMAIN_VERSION 1

typedef struct TieredDomain {
    char *path;   /* of the file, for messages */
    QDict *config;
    uint64_t memory, dram_limit; /* of the whole VM, in bytes */
    const char *monitor;         /* socket the daemon listens on, or NULL */
    bool learn_writes;           /* from the start, for a migration that may come */
} TieredDomain;

/*
 * *@domain is NULL if the host has decided nothing for this VM. The file is read once: what was
 * true at the start holds for memory that is plugged in later. Called under the BQL.
 */
bool tiered_domain_get(const TieredDomain **domain, Error **errp);

#endif
