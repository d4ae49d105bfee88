// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/migration_forecast.h"

#include "daemon/answer_fields.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

ForecastBound bound_in(const AnswerFields &from, const char *name) {
    AnswerFields of = from.inner(name);
    ForecastBound bound;
    of.read("p50", bound.p50);
    of.read("p90", bound.p90);
    return bound;
}

ForecastOutcome read_outcome(AnswerFields from) {
    ForecastOutcome to;
    to.total_ms = bound_in(from, "total-time");
    to.bytes = bound_in(from, "bytes");
    to.downtime_us = bound_in(from, "downtime");
    from.read("actual-total-time", to.actual_total_ms);
    from.read("actual-bytes", to.actual_bytes);
    from.read("actual-downtime", to.actual_downtime_us);
    return to;
}

tl::unexpected<Error> odd(const std::string &problem) {
    return fail(EPROTO, "query-migrate-forecast answered something odd: " + problem);
}

ForecastScore::Figure figure(std::span<const ForecastOutcome> outcomes,
                             const ForecastBound ForecastOutcome::*forecast,
                             const std::uint64_t ForecastOutcome::*actual) {
    ForecastScore::Figure of;
    std::vector<double> errors;
    for (const ForecastOutcome &one : outcomes) {
        of.within_p90 += one.*actual <= (one.*forecast).p90 ? 1 : 0;
        const auto came = static_cast<double>(one.*actual);
        errors.push_back(std::abs(static_cast<double>((one.*forecast).p50) - came) /
                         std::max(came, 1.0));
    }
    of.within_p90 /= static_cast<double>(outcomes.size());
    const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
    std::nth_element(errors.begin(), middle, errors.end());
    of.median_error = *middle;
    return of;
}

} // namespace

Result<ForecastOutcome> parse_outcome(const json &outcome) {
    std::string problem;
    ForecastOutcome to = read_outcome({outcome, problem});
    if (!problem.empty())
        return odd(problem);
    return to;
}

Result<MigrationForecast> parse_forecast(const json &answer) {
    std::string problem;
    AnswerFields from(answer, problem);
    MigrationForecast to;
    from.read("verdict", to.verdict);
    from.read("reason", to.reason);
    from.read("chance", to.chance);
    from.read("running", to.running);
    from.read("bandwidth", to.bandwidth);
    from.read("downtime-limit", to.downtime_limit_ms);
    to.total_ms = bound_in(from, "total-time");
    to.bytes = bound_in(from, "bytes");
    to.downtime_ms = bound_in(from, "downtime");
    from.read("irreducible", to.irreducible);
    from.read("watched", to.watched_s);
    if (const json *outcome = from.member("outcome")) {
        to.outcome = read_outcome({*outcome, problem});
        to.outcome_json = outcome->dump();
    }
    if (!problem.empty())
        return odd(problem);
    return to;
}

ForecastScore score_of(std::span<const ForecastOutcome> outcomes) {
    ForecastScore score;
    score.count = outcomes.size();
    if (outcomes.empty())
        return score;
    using Outcome = ForecastOutcome;
    score.total = figure(outcomes, &Outcome::total_ms, &Outcome::actual_total_ms);
    score.bytes = figure(outcomes, &Outcome::bytes, &Outcome::actual_bytes);
    score.downtime = figure(outcomes, &Outcome::downtime_us, &Outcome::actual_downtime_us);
    return score;
}

} // namespace tidemark::daemon
