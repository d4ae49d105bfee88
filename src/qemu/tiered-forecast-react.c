/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done about a migration that will not come to an end: nothing, it is given up, its guest is slowed down, or it
 * goes on by postcopy. As was asked for when it was started.
 */
#include "qemu/osdep.h"
#include "system/cpu-throttle.h"
#include "migration/migration.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-migration.h"
#include "qemu/main-loop.h"

#include "tiered-forecast.h"
#include "tiered-memory-hooks.h"
#include "tiered-migration-config.h"
#include "tiered-predict.h"

/* After the guest was slowed down, what is known of its writes is out of date for so long. */
#define SETTLING_NS (2 * NANOSECONDS_PER_SECOND)

static struct {
    MigrationNoConvergence reaction; /* of the migration that starts or runs; under the BQL */
    bool throttled; /* by us; atomic */
    /* the migration's thread */
    bool reacted;
    int64_t settled_ns;
} state = { .reaction = MIGRATION_NO_CONVERGENCE_CONTINUE };

MigrationNoConvergence tiered_reaction(void)
{
    return state.reaction;
}

bool tiered_reaction_settled(int64_t now)
{
    return now >= state.settled_ns;
}

void tiered_reaction_begins(void)
{
    state.reacted = false;
    state.settled_ns = 0;
}

void tiered_reaction_ends(void)
{
    state.reaction = MIGRATION_NO_CONVERGENCE_CONTINUE;
    if (qatomic_xchg(&state.throttled, false)) {
        cpu_throttle_stop();
    }
}

static const struct tidemark_remedy *find_remedy(const struct tidemark_forecast *f,
                                                 enum tidemark_remedy_kind kind)
{
    for (uint32_t i = 0; i < f->remedy_count; i++) {
        if (f->remedies[i].kind == kind) {
            return &f->remedies[i];
        }
    }
    return NULL;
}

/* If not even the utmost would do, then the utmost: it is what was asked for. */
static void throttle(const struct tidemark_forecast *f, int64_t now)
{
    const struct tidemark_remedy *r = find_remedy(f, TIDEMARK_REMEDY_THROTTLE);
    int most = migrate_max_cpu_throttle();
    int percentage = r ? MIN(most, (int)(r->value * 100 + 0.5)) : most;

    if (percentage <= cpu_throttle_get_percentage()) {
        return;
    }
    bql_lock();
    qatomic_set(&state.throttled, true);
    cpu_throttle_set(percentage);
    bql_unlock();
    state.settled_ns = now + SETTLING_NS;
}

void tiered_reaction_carry_out(const struct tidemark_forecast *f, int64_t now)
{
    Error *err = NULL;

    switch (state.reaction) {
    case MIGRATION_NO_CONVERGENCE_ABORT:
        if (!state.reacted) {
            error_setg(&err, "the migration was given up, it will not converge: %s", f->reason);
            migration_file_set_error(-ECANCELED, err);
        }
        break;
    case MIGRATION_NO_CONVERGENCE_THROTTLE:
        throttle(f, now);
        break;
    case MIGRATION_NO_CONVERGENCE_POSTCOPY:
        qmp_migrate_start_postcopy(&err);
        error_free(err); /* the capability was there when the migration started, and stays */
        break;
    case MIGRATION_NO_CONVERGENCE_CONTINUE:
    default:
        break;
    }
    state.reacted = true;
}

bool tiered_forecast_react(bool given, MigrationNoConvergence reaction, Error **errp)
{
    if (migration_is_running()) {
        return true; /* it will be refused */
    }
    if (!given) {
        reaction = tiered_migration_on_no_convergence();
    }
    if (reaction == MIGRATION_NO_CONVERGENCE_POSTCOPY && !migrate_postcopy_ram()) {
        error_setg(errp, "on-no-convergence=postcopy needs the migration capability postcopy-ram on"
                   " both sides: set it with migrate-set-capabilities, or choose abort, throttle"
                   " or continue");
        return false;
    }
    if (reaction != MIGRATION_NO_CONVERGENCE_CONTINUE) {
        tiered_predict_init();
    }
    state.reaction = reaction;
    return true;
}

bool tiered_forecast_wants_looks(void)
{
    return state.reaction != MIGRATION_NO_CONVERGENCE_CONTINUE;
}
