/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the QEMU versions the overlay builds in. No other file of the overlay asks
 * for the version.
 */
#ifndef TIDEMARK_COMPAT_H
#define TIDEMARK_COMPAT_H

#define TIDEMARK_QEMU_AT_LEAST(major, minor)                                                       \
    (QEMU_VERSION_MAJOR > (major) ||                                                               \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

/* 10.2 moved the memory headers from exec/ to system/. */
#if TIDEMARK_QEMU_AT_LEAST(10, 2)
#include "system/memory.h"
#include "system/ramblock.h"
#else
#include "exec/memory.h"
#include "exec/ramblock.h"
#endif
#include "exec/ramlist.h"

/* 10.1 made the data of class_init constant. */
#if TIDEMARK_QEMU_AT_LEAST(10, 1)
typedef const void TidemarkClassData;
#else
typedef void TidemarkClassData;
#endif

/* 10.2 has a third way to replace the QEMU process under a guest, and takes the modes as a mask. */
#if TIDEMARK_QEMU_AT_LEAST(10, 2)
#define tidemark_add_cpr_blocker(reasonp, errp)                                                    \
    migrate_add_blocker_modes(reasonp,                                                             \
                              BIT(MIG_MODE_CPR_REBOOT) | BIT(MIG_MODE_CPR_TRANSFER) |              \
                                  BIT(MIG_MODE_CPR_EXEC),                                          \
                              errp)
#else
#define tidemark_add_cpr_blocker(reasonp, errp)                                                    \
    migrate_add_blocker_modes(reasonp, errp, MIG_MODE_CPR_REBOOT, MIG_MODE_CPR_TRANSFER, -1)
#endif

#endif
