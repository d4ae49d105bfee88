/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-migration.h"
#include "qemu/atomic.h"

#include "tiered-migration-config.h"

static struct {
    MigrationProfileMode profile;
    MigrationNoConvergence on_no_convergence;
} config = {
    .profile = MIGRATION_PROFILE_MODE_ON,
    .on_no_convergence = MIGRATION_NO_CONVERGENCE_CONTINUE,
};

bool tiered_migration_sends_profile(void)
{
    return qatomic_read(&config.profile) == MIGRATION_PROFILE_MODE_ON;
}

MigrationNoConvergence tiered_migration_on_no_convergence(void)
{
    return qatomic_read(&config.on_no_convergence);
}

bool tiered_migration_configure(const TieredMigrationSettings *given, Error **errp)
{
    if (given->has_profile) {
        qatomic_set(&config.profile, given->profile);
    }
    if (given->has_on_no_convergence) {
        qatomic_set(&config.on_no_convergence, given->on_no_convergence);
    }
    return true;
}

void qmp_tiered_migration_configure(TieredMigrationSettings *given, Error **errp)
{
    tiered_migration_configure(given, errp);
}

TieredMigrationInfo *qmp_query_tiered_migration(Error **errp)
{
    TieredMigrationInfo *info = g_new0(TieredMigrationInfo, 1);

    info->profile = qatomic_read(&config.profile);
    info->on_no_convergence = tiered_migration_on_no_convergence();
    return info;
}
