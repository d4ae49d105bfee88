/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings of live migration: one set per process, changed by QMP or by what the host decided for
 * this VM, under the BQL, and read by any thread.
 */
#ifndef TIERED_MIGRATION_CONFIG_H
#define TIERED_MIGRATION_CONFIG_H

#include "qapi/qapi-types-tiered-memory-types.h"
#include "qapi/qapi-types-tiered-migration.h"

/* Are the guest's writes being learnt? */
bool tiered_migration_learns(void);
MigrationPredictor tiered_migration_predictor(void);
/* May a stream say which pages are hot (if there is tiered memory)? */
bool tiered_migration_sends_profile(void);
/* Unless the migration was started with a choice of its own. */
MigrationNoConvergence tiered_migration_on_no_convergence(void);

/* BQL held. All or nothing. */
bool tiered_migration_configure(const TieredMigrationSettings *given, Error **errp);

#endif
