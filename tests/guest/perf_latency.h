/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How long each access of a benchmark guest took, by the time stamp counter. Freestanding.
 */
#ifndef TIDEMARK_GUEST_PERF_LATENCY_H
#define TIDEMARK_GUEST_PERF_LATENCY_H

#include <stdint.h>

/* Latencies in ticks; each power of two is cut in 64, so a bucket is at most 1.6 % wide. */
#define PERF_BUCKET_BITS 6u
#define PERF_BUCKETS (44u << PERF_BUCKET_BITS)

struct perf_run {
    uint64_t ops, ticks, latency_sum, latency_most, bad, deadline;
    uint32_t buckets[PERF_BUCKETS];
};

static inline uint64_t perf_ticks(void)
{
    uint32_t low, high;

    /* The fence keeps the counter from being read before the access it ends. */
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline unsigned perf_bucket(uint64_t ticks)
{
    unsigned octave, bucket;

    if (ticks < 1u << PERF_BUCKET_BITS) {
        return (unsigned)ticks;
    }
    octave = 63u - (unsigned)__builtin_clzll(ticks) - PERF_BUCKET_BITS;
    bucket = (octave << PERF_BUCKET_BITS) + (unsigned)(ticks >> octave);
    return bucket < PERF_BUCKETS ? bucket : PERF_BUCKETS - 1;
}

static inline uint64_t perf_bucket_middle(unsigned bucket)
{
    unsigned octave = bucket >> PERF_BUCKET_BITS;
    uint64_t lower, width;

    if (octave == 0) {
        return bucket;
    }
    octave--;
    lower = (UINT64_C(1) << PERF_BUCKET_BITS) + (bucket & ((1u << PERF_BUCKET_BITS) - 1));
    width = UINT64_C(1) << octave;
    return (lower << octave) + width / 2;
}

static inline uint64_t perf_record(struct perf_run *run, uint64_t start, uint64_t wrong)
{
    uint64_t now = perf_ticks(), took = now - start;

    run->ops++;
    run->latency_sum += took;
    run->latency_most = took > run->latency_most ? took : run->latency_most;
    run->buckets[perf_bucket(took)]++;
    run->bad += wrong != 0;
    return now;
}

static inline uint64_t perf_quantile(const struct perf_run *run, uint64_t per_mille)
{
    uint64_t wanted = (run->ops * per_mille + 999) / 1000, seen = 0;

    for (unsigned bucket = 0; bucket < PERF_BUCKETS; bucket++) {
        seen += run->buckets[bucket];
        if (seen >= wanted && seen) {
            return perf_bucket_middle(bucket);
        }
    }
    return 0;
}

static inline void perf_add(struct perf_run *total, const struct perf_run *one)
{
    total->ops += one->ops;
    total->latency_sum += one->latency_sum;
    total->bad += one->bad;
    if (one->latency_most > total->latency_most) {
        total->latency_most = one->latency_most;
    }
    for (unsigned bucket = 0; bucket < PERF_BUCKETS; bucket++) {
        total->buckets[bucket] += one->buckets[bucket];
    }
}

static inline void perf_clear(struct perf_run *run)
{
    run->ops = run->ticks = run->latency_sum = run->latency_most = run->bad = 0;
    for (unsigned bucket = 0; bucket < PERF_BUCKETS; bucket++) {
        run->buckets[bucket] = 0;
    }
}

#endif
