/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of migration that cannot work with tiered memory, each refused with its reason. Precopy
 * and savevm read and write guest memory like any other code and need nothing here.
 */
#include "qemu/osdep.h"
#include "hw/qdev-core.h"
#include "migration/blocker.h"
#include "migration/options.h"
#include "qapi/error.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"

static bool refuse_capability(MigrationCapability cap, Error **errp)
{
    error_setg(errp, "memory-backend-tiered does not work with migration capability '%s':"
               " guest memory has one userfaultfd, and tiering owns it;"
               " migrate with precopy instead", MigrationCapability_str(cap));
    return false;
}

bool tiered_memory_check_caps(const bool *caps, Error **errp)
{
    if (!tiered_backend_exists()) {
        return true;
    }
    if (caps[MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT]) {
        return refuse_capability(MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT, errp);
    }
    return true;
}

static void set_mode_error(Error **errp)
{
    error_setg(errp, "memory-backend-tiered cannot be handed to another process in place: only"
               " migration mode 'normal' works with it, no CPR mode");
}

bool tiered_memory_check_mode(MigMode mode, Error **errp)
{
    if (mode == MIG_MODE_NORMAL || !tiered_backend_exists()) {
        return true;
    }
    set_mode_error(errp);
    return false;
}

bool tiered_migration_prepare(TieredBackend *tb, Error **errp)
{
    /* Capabilities set before a hot-plug; before that, migrate_caps_check() comes after us. */
    if (phase_check(PHASE_MACHINE_READY) && migrate_background_snapshot()) {
        return refuse_capability(MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT, errp);
    }
    tiered_postcopy_init();
    tiered_postcopy_order_init();
    /* For a mode that was set before the object came. */
    set_mode_error(&tb->migration_blocker);
    return tidemark_add_cpr_blocker(&tb->migration_blocker, errp) == 0;
}

void tiered_migration_cleanup(TieredBackend *tb)
{
    migrate_del_blocker(&tb->migration_blocker);
}
