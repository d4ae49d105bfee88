// SPDX-License-Identifier: GPL-2.0-or-later
//
// The part of the C interface that says what a migration would cost.
#include "migrate/forecast.h"

#include "capi/handles.h"
#include "migrate/write_classes.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace {

using namespace tidemark;

// What earlier forecasts missed by. One guest to a process.
struct Kept {
    Mutex mutex;
    ForecastErrors errors TIDEMARK_GUARDED_BY(mutex);
};
Kept &kept() {
    static Kept one;
    return one;
}
ForecastErrors kept_errors() {
    const MutexLock lock(kept().mutex);
    return kept().errors;
}

// What isn't learnt is taken for idle; what a block may yet grow by is idle, too, and not there.
void fit(WriteModel &model, double pages) {
    const double known = model.pages();
    if (known < pages) {
        WriteClass rest;
        rest.pages = pages - known;
        model.classes.push_back(rest);
    }
    double excess = known - pages;
    for (WriteClass &c : model.classes)
        if (c.rate <= 0 && excess > 0) {
            const double taken = std::min(excess, c.pages);
            c.pages -= taken;
            excess -= taken;
        }
}

WriteModel model_of(tidemark_writes *writes, const tidemark_forecast_terms &given) {
    WriteModel model;
    if (writes != nullptr) {
        const MutexLock lock(writes->mutex);
        const double now = double(writes->writes.looked()) * 1e-9;
        model = classes_of(writes->writes, writes->phases.cycle(now));
    }
    fit(model, double(given.pages));
    if (!given.running)
        pend_all(model);
    else if (given.first_pass && !given.planned)
        pend_any(model, double(given.pages_left));
    else
        pend_hottest(model, double(given.pages_left));
    model.zero_pages = double(given.zero_pages);
    return model;
}

ForecastTerms terms_of(const tidemark_forecast_terms &given) {
    ForecastTerms terms;
    terms.bandwidth = given.bandwidth;
    terms.bandwidth_doubt = given.bandwidth_doubt;
    terms.bandwidth_set = given.bandwidth_set;
    terms.planned = given.planned;
    terms.downtime_limit = given.downtime_limit;
    terms.reserve = given.reserve;
    terms.overhead = given.overhead;
    terms.patience = given.patience;
    if (given.running) {
        terms.running = true;
        terms.seconds_so_far = given.seconds_so_far;
        terms.bytes_so_far = given.bytes_so_far;
        terms.already_slowed = given.slowed;
    }
    return terms;
}

tidemark_bound bound_of(Bound bound) {
    return {bound.p50, bound.p90};
}
Bound bound_from(tidemark_bound bound) {
    return {bound.p50, bound.p90};
}

bool sane(const tidemark_forecast_terms &given) {
    const double positive[] = {given.bandwidth,      given.bandwidth_doubt, given.seconds_so_far,
                               given.bytes_so_far,   given.overhead,        given.patience,
                               given.downtime_limit, given.reserve,         given.slowed};
    return std::ranges::all_of(positive, [](double value) { return value >= 0 && value < 1e18; }) &&
           given.slowed < 1;
}

void put(const Forecast &from, const WriteModel &model, tidemark_forecast &out) {
    out.verdict = static_cast<tidemark_verdict>(from.verdict);
    out.chance = from.chance;
    out.seconds = bound_of(from.seconds);
    out.bytes = bound_of(from.bytes);
    out.downtime = bound_of(from.downtime);
    out.raw_seconds = bound_of(from.raw[0]);
    out.raw_bytes = bound_of(from.raw[1]);
    out.raw_downtime = bound_of(from.raw[2]);
    out.irreducible = from.irreducible;
    out.quiet_in = std::isfinite(from.quiet_in) ? from.quiet_in : -1;
    out.watched = model.watched;
    out.remedy_count = 0;
    for (const Remedy &r : from.remedies)
        if (out.remedy_count < TIDEMARK_REMEDIES)
            out.remedies[out.remedy_count++] = {static_cast<tidemark_remedy_kind>(r.kind),
                                                r.value,
                                                r.cost,
                                                r.with.seconds,
                                                r.with.bytes,
                                                r.with.downtime};
    say(out.reason, sizeof(out.reason), from.reason);
}

} // namespace

extern "C" {

void tidemark_forecast_terms_init(tidemark_forecast_terms *terms) noexcept {
    std::memset(terms, 0, sizeof(*terms));
    terms->size = sizeof(*terms);
    terms->bandwidth_doubt = 0.03;
    terms->downtime_limit = 0.3;
    terms->overhead = 0.01;
}

int tidemark_precopy_forecast(tidemark_writes *writes, const tidemark_forecast_terms *given,
                              struct tidemark_forecast *out, char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (given->size != sizeof(*given) || out->size != sizeof(*out))
            return report(msg, msg_size,
                          {EINVAL, "the program and libtidemark disagree about the size of "
                                   "tidemark_forecast: they are of different versions"});
        if (!sane(*given))
            return report(msg, msg_size,
                          {EINVAL,
                           "times, bytes and rates must be 0 or more, and the guest must not be "
                           "held back altogether"});
        const WriteModel model = model_of(writes, *given);
        put(forecast_precopy(model, terms_of(*given), kept_errors()), model, *out);
        return 0;
    });
}

int tidemark_forecast_calibrate(const tidemark_forecast_error *errors, size_t count) noexcept {
    return guarded([&]() -> int {
        const MutexLock lock(kept().mutex);
        kept().errors.clear();
        for (const tidemark_forecast_error &e : std::span(errors, count))
            kept().errors.add({{bound_from(e.seconds), bound_from(e.bytes), bound_from(e.downtime)},
                               {e.actual_seconds, e.actual_bytes, e.actual_downtime}});
        return 0;
    });
}

} // extern "C"
