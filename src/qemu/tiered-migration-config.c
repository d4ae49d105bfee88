/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-tiered-migration.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"

#include "tiered-migration-config.h"
#include "tiered-predict.h"

static struct {
    bool learn;
    MigrationPredictor predictor;
    MigrationProfileMode profile;
    MigrationNoConvergence on_no_convergence;
} config = {
    .profile = MIGRATION_PROFILE_MODE_ON,
    .on_no_convergence = MIGRATION_NO_CONVERGENCE_CONTINUE,
};

bool tiered_migration_learns(void)
{
    return qatomic_read(&config.learn);
}

MigrationPredictor tiered_migration_predictor(void)
{
    return qatomic_read(&config.predictor);
}

bool tiered_migration_sends_profile(void)
{
    return qatomic_read(&config.profile) == MIGRATION_PROFILE_MODE_ON;
}

MigrationNoConvergence tiered_migration_on_no_convergence(void)
{
    return qatomic_read(&config.on_no_convergence);
}

static bool set_learn(bool on, Error **errp)
{
    if (on && !tiered_learn_start(errp)) {
        return false;
    }
    qatomic_set(&config.learn, on);
    if (!on) {
        tiered_learn_stop();
    }
    return true;
}

bool tiered_migration_configure(const TieredMigrationSettings *given, Error **errp)
{
    if (given->has_learn && !set_learn(given->learn, errp)) {
        return false;
    }
    /* From the first time on that either is wanted, migrations say when they begin and sync. */
    if (given->learn || given->predictor != MIGRATION_PREDICTOR_OFF) {
        tiered_predict_init();
    }
    if (given->has_predictor) {
        qatomic_set(&config.predictor, given->predictor);
    }
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

static TieredMigrationLearning *learning(const struct tidemark_writes_stats *stats)
{
    TieredMigrationLearning *l = g_new0(TieredMigrationLearning, 1);

    l->memory = stats->memory_bytes;
    l->looks = stats->looks;
    l->period_ms = stats->period_ns / SCALE_MS;
    l->look_cost_us = stats->look_cost_ns / SCALE_US;
    l->learnt_ms = stats->learnt_ns / SCALE_MS;
    l->pages = stats->pages;
    l->never_written = stats->never_written;
    l->hot = stats->hot;
    l->regular = stats->regular;
    l->sweep_ms = stats->sweep_seconds * 1000;
    l->silent = stats->silent;
    l->hashes_taken = stats->hashes_taken;
    l->hashes_same = stats->hashes_same;
    l->written_pages_per_second = stats->written_pages_per_second;
    return l;
}

static TieredMigrationPrecopy *precopy(const struct tidemark_writes_stats *stats)
{
    TieredMigrationPrecopy *p = g_new0(TieredMigrationPrecopy, 1);

    p->active = stats->in_precopy;
    p->observe = stats->observe_only;
    p->syncs = stats->syncs;
    p->sent = stats->sent;
    p->resent = stats->resent;
    p->skipped = stats->skipped;
    p->deferred = stats->deferred;
    p->waited_ms = tiered_predict_waited_ms();
    p->bandwidth = tiered_predict_link();
    p->advised = stats->advised;
    p->advised_rewritten = stats->advised_rewritten;
    p->advised_against = stats->advised_against;
    p->advised_against_rewritten = stats->advised_against_rewritten;
    return p;
}

TieredMigrationInfo *qmp_query_tiered_migration(Error **errp)
{
    TieredMigrationInfo *info = g_new0(TieredMigrationInfo, 1);
    struct tidemark_writes_stats stats = { .size = sizeof(stats) };

    info->learn = tiered_migration_learns();
    info->predictor = tiered_migration_predictor();
    info->profile = qatomic_read(&config.profile);
    info->on_no_convergence = tiered_migration_on_no_convergence();
    if (tiered_writes() && tidemark_writes_query(tiered_writes(), &stats) == 0) {
        info->learning = learning(&stats);
        if (stats.syncs) {
            info->precopy = precopy(&stats);
        }
    }
    return info;
}
