/* SPDX-License-Identifier: GPL-2.0-or-later
 * What the guest's workloads share: deterministic page contents and a way out.
 */
#ifndef TIDEMARK_GUEST_COMMON_H
#define TIDEMARK_GUEST_COMMON_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAGE_BYTES 4096u
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))

__attribute__((format(printf, 1, 2), noreturn)) static inline void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    exit(1);
}

static inline uint64_t mix(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdu;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53u;
    return value ^ (value >> 33);
}

static inline uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return mix(*state);
}

/* Fills a page with words that depend on (tag, position); tag 0 is all zero. */
static inline void page_fill(uint64_t *page, uint64_t tag)
{
    uint64_t value = mix(tag);

    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        page[i] = tag ? value + i * 0x9e3779b97f4a7c15u : 0;
    }
}

/* Returns how many words of the page differ from page_fill(tag). */
static inline unsigned page_check(const uint64_t *page, uint64_t tag)
{
    uint64_t value = mix(tag);
    unsigned bad = 0;

    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        bad += page[i] != (tag ? value + i * 0x9e3779b97f4a7c15u : 0);
    }
    return bad;
}

static inline double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline unsigned long number(const char *text, const char *what)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end) {
        fail("%s must be a number, got '%s'", what, text);
    }
    return value;
}

#endif
