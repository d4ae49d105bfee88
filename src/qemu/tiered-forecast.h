/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files about forecasts of migrations share.
 */
#ifndef TIERED_FORECAST_H
#define TIERED_FORECAST_H

#include "qapi/qapi-types-tiered-migration-forecast.h"
#include "tidemark.h"

/* Pages of the RAM that migrates; of these, about how many are zero. Any thread but not while RAM is being
 * plugged: BQL or RCU. */
uint64_t tiered_forecast_ram_pages(void);
uint64_t tiered_forecast_zero_pages(void);

/* What a running migration gets from the link. Migration thread only, but for the reading. */
typedef struct TieredLink {
    uint64_t bytes, zeros; /* at the start of the window that is being measured */
    int64_t since_ns;      /* when that was; 0: none */
    uint64_t held_ns;      /* by then, of the precopy (tiered_predict_link_held_ns()) */
    bool idle;             /* there was nothing to send in it */
    double windows[16];    /* bytes a second, a ring */
    unsigned count;        /* measured under this limit */
    uint64_t limit;        /* the user's, bytes a second */
} TieredLink;

void tiered_link_start(TieredLink *link);
/* After each piece of sending: is there more to be sent right away? */
void tiered_link_note(TieredLink *link, bool more);
/* The share of windows given was at most so fast; 0: not known yet. */
double tiered_link_bandwidth(const TieredLink *link, double share);
/* Standard deviation over value, about. */
double tiered_link_doubt(const TieredLink *link);

/* What is done about a migration that will not converge (tiered-forecast-react.c). */
MigrationNoConvergence tiered_reaction(void);
void tiered_reaction_begins(void);
void tiered_reaction_ends(void);
/* Again and again, as long as that is the verdict. Migration thread. */
void tiered_reaction_carry_out(const struct tidemark_forecast *f, int64_t now);
/* Is the guest's writing what it was? Not just after it was slowed down. */
bool tiered_reaction_settled(int64_t now);

MigrationForecast *tiered_forecast_to_qapi(const struct tidemark_forecast *f,
                                           const struct tidemark_forecast_terms *terms);
MigrationVerdict tiered_forecast_verdict(const struct tidemark_forecast *f);
MigrationRemedyKind tiered_forecast_remedy(const struct tidemark_remedy *r);
MigrationForecastError *tiered_forecast_error_to_qapi(const struct tidemark_forecast_error *e);
struct tidemark_forecast_error tiered_forecast_error_from_qapi(const MigrationForecastError *e);

#endif
