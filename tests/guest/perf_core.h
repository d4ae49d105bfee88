/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the benchmark guests draw and write: random numbers, zipf ranks, a permutation, page
 * contents. Freestanding (no libc, no libm), because the bare-metal guest uses it too.
 */
#ifndef TIDEMARK_GUEST_PERF_CORE_H
#define TIDEMARK_GUEST_PERF_CORE_H

#include <stdint.h>

#define PERF_PAGE 4096u
#define PERF_WORDS (PERF_PAGE / sizeof(uint64_t))
#define PERF_GROUP 64u /* words per group; the first one of each carries the page's version */
#define PERF_STEP 0x9e3779b97f4a7c15u

static inline uint64_t perf_mix(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdu;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53u;
    return value ^ (value >> 33);
}

static inline uint64_t perf_random(uint64_t *state)
{
    *state += PERF_STEP;
    return perf_mix(*state);
}

/* Uniform in [0, bound); bound is far below 2^32, so the bias of the product is below 2^-32. */
static inline uint64_t perf_below(uint64_t *state, uint64_t bound)
{
    return ((perf_random(state) >> 32) * bound) >> 32;
}

/* A permutation of [0, count): each step is invertible on the next power of two, and values
 * that fall outside go round again. Zipf's popular ranks end up all over the range with it. */
static inline uint64_t perf_scatter(uint64_t value, uint64_t count)
{
    unsigned bits = count > 1 ? 64u - (unsigned)__builtin_clzll(count - 1) : 1u;
    uint64_t mask = (UINT64_C(1) << bits) - 1;
    unsigned half = bits / 2 + 1;

    do {
        value = (value * 0xd6e8feb86659fd93u + 0x5851f42du) & mask;
        value ^= value >> half;
        value = (value * 0xff51afd7ed558ccdu) & mask;
        value ^= value >> half;
        value = (value * 0xc4ceb9fe1a85ec53u) & mask;
    } while (value >= count);
    return value;
}

/*
 * Zipf with exponent 0.99 over ranks 1..count, by rejection-inversion (Hoermann and Derflinger
 * 1996): draw from the hat H(x) = 100 (x^0.01 - 1), whose density is x^-0.99, invert, round, and
 * reject what the rounding added. With this exponent the inverse is the 100th power, so the
 * common path needs multiplications only and neither a table nor libm.
 */
struct perf_zipf {
    uint64_t count;
    double low, high, shortcut;
};

/* x^0.01 for x >= 1, to about 1e-15: exp(ln(x) / 100), each by its series. */
static inline double perf_root100(double x)
{
    union {
        double number;
        uint64_t bits;
    } value = {.number = x};
    int exponent = (int)(value.bits >> 52) - 1023;
    double z, square, log_sum = 0, y, power = 1;

    value.bits = (value.bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
    if (value.number > 1.4142135623730951) {
        value.number *= 0.5;
        exponent++;
    }
    z = (value.number - 1) / (value.number + 1); /* |z| < 0.172 */
    square = z * z;
    for (int term = 21; term >= 1; term -= 2) {
        log_sum = log_sum * square + 1.0 / term;
    }
    y = (exponent * 0.6931471805599453 + 2 * z * log_sum) / 100; /* below 0.45 */
    for (int term = 16; term >= 1; term--) {
        power = 1 + power * y / term;
    }
    return power;
}

static inline double perf_zipf_hat(double x)
{
    return 100 * (perf_root100(x) - 1);
}

static inline double perf_zipf_hat_inverse(double y)
{
    double t = 1 + y / 100, t4, t32, t64;

    t4 = t * t;
    t4 *= t4;
    t32 = t4 * t4;   /* t^8 */
    t32 *= t32;      /* t^16 */
    t32 *= t32;      /* t^32 */
    t64 = t32 * t32; /* 64 + 32 + 4 = 100 */
    return t64 * t32 * t4;
}

static inline double perf_zipf_weight(double rank)
{
    return perf_root100(rank) / rank; /* rank^-0.99 */
}

static inline void perf_zipf_init(struct perf_zipf *zipf, uint64_t count)
{
    zipf->count = count;
    zipf->low = perf_zipf_hat(1.5) - 1;
    zipf->high = perf_zipf_hat((double)count + 0.5);
    zipf->shortcut = 2 - perf_zipf_hat_inverse(perf_zipf_hat(2.5) - perf_zipf_weight(2));
}

/* A rank in [0, count), rank 0 the most popular. */
static inline uint64_t perf_zipf_draw(const struct perf_zipf *zipf, uint64_t *state)
{
    for (;;) {
        double unit = (double)(int64_t)(perf_random(state) >> 11) * 0x1p-53;
        double area = zipf->high + unit * (zipf->low - zipf->high);
        double x = perf_zipf_hat_inverse(area);
        int64_t rank = (int64_t)(x + 0.5);

        rank = rank < 1 ? 1 : rank > (int64_t)zipf->count ? (int64_t)zipf->count : rank;
        if ((double)rank - x <= zipf->shortcut ||
            area >= perf_zipf_hat((double)rank + 0.5) - perf_zipf_weight((double)rank)) {
            return (uint64_t)rank - 1;
        }
    }
}

/* What a page holds follows from (seed, page, version): eight words carry the version, so that a
 * random read-modify-write costs little beside the fault it is there to measure, and the other
 * 504 words are fixed. No word of one page is right in another. */
struct perf_content {
    uint64_t fixed, versioned;
};

static inline struct perf_content perf_content(uint64_t seed, uint64_t page, uint32_t version)
{
    struct perf_content content;

    content.fixed = perf_mix(seed + page * 0xd6e8feb86659fd93u);
    content.versioned = perf_mix(content.fixed + version);
    return content;
}

static inline void perf_write_all(volatile uint64_t *page, struct perf_content content)
{
    for (uint64_t at = 0; at < PERF_WORDS; at += PERF_GROUP) {
        page[at] = content.versioned + at * PERF_STEP;
        for (uint64_t i = at + 1; i < at + PERF_GROUP; i++) {
            page[i] = content.fixed + i * PERF_STEP;
        }
    }
}

static inline void perf_write_version(volatile uint64_t *page, struct perf_content content)
{
    for (uint64_t at = 0; at < PERF_WORDS; at += PERF_GROUP) {
        page[at] = content.versioned + at * PERF_STEP;
    }
}

/* Both return 0 if every word they read is right. */
static inline uint64_t perf_check_version(const volatile uint64_t *page,
                                          struct perf_content content)
{
    uint64_t wrong = 0;

    for (uint64_t at = 0; at < PERF_WORDS; at += PERF_GROUP) {
        wrong |= page[at] ^ (content.versioned + at * PERF_STEP);
    }
    return wrong;
}

static inline uint64_t perf_check_all(const volatile uint64_t *page, struct perf_content content)
{
    uint64_t wrong = perf_check_version(page, content);

    for (uint64_t at = 0; at < PERF_WORDS; at += PERF_GROUP) {
        uint64_t value = content.fixed + at * PERF_STEP;
        for (uint64_t i = at + 1; i < at + PERF_GROUP; i++) {
            value += PERF_STEP;
            wrong |= page[i] ^ value;
        }
    }
    return wrong;
}

#endif
