/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The benchmark's workloads inside a guest, the same for Linux and bare metal. Every access is
 * timed by the time stamp counter and what it reads is verified. Each workload prints
 * `PERF READY name`, waits until the host says go, runs, and prints `PERF {json}`; the last line
 * is `PERF DONE bad=N`, N counting accesses that read a wrong word.
 *
 * The file that includes this one defines the functions declared here as platform_*.
 */
#ifndef TIDEMARK_GUEST_PERF_WORKLOADS_H
#define TIDEMARK_GUEST_PERF_WORKLOADS_H

#include "perf_core.h"
#include "perf_latency.h"

struct perf {
    volatile uint64_t *memory;
    uint32_t *version; /* of each page, 0 before the fill */
    uint64_t pages, seed, random, bad;
    uint64_t ticks_per_ms;
    /* What the host asks for. Workloads that draw pages end after cap_ms, with fewer ops. */
    uint64_t ops, hot_ops, hot_pages, stride, passes, cap_ms, idle_ms, threads;
};

static void platform_print(const char *text);
static void platform_wait_go(void);
static void platform_threads(struct perf *p, struct perf_run *run);
static void platform_idle(struct perf *p, struct perf_run *run);
static void platform_describe(struct perf *p); /* prints `PERF INFO {json}` */
/* Prints `PERF HOT [[guest-physical address, bytes], ...]`, if it is known. */
static void platform_describe_hot(struct perf *p, uint64_t first_page);

/* The accesses: what is not memory access happens before the clock starts. */

static volatile uint64_t *perf_page(const struct perf *p, uint64_t page)
{
    return p->memory + page * PERF_WORDS;
}

static uint64_t perf_access_read(struct perf *p, struct perf_run *run, uint64_t page)
{
    struct perf_content content = perf_content(p->seed, page, p->version[page]);
    uint64_t start = perf_ticks();

    return perf_record(run, start, perf_check_all(perf_page(p, page), content));
}

static uint64_t perf_access_peek(struct perf *p, struct perf_run *run, uint64_t page)
{
    struct perf_content content = perf_content(p->seed, page, p->version[page]);
    uint64_t start = perf_ticks();

    return perf_record(run, start, perf_check_version(perf_page(p, page), content));
}

static uint64_t perf_access_rmw(struct perf *p, struct perf_run *run, uint64_t page)
{
    struct perf_content before = perf_content(p->seed, page, p->version[page]);
    struct perf_content after = perf_content(p->seed, page, ++p->version[page]);
    uint64_t start = perf_ticks(), wrong;

    wrong = perf_check_version(perf_page(p, page), before);
    perf_write_version(perf_page(p, page), after);
    return perf_record(run, start, wrong);
}

static void perf_fill(struct perf *p, struct perf_run *run)
{
    for (uint64_t page = 0; page < p->pages; page++) {
        struct perf_content content = perf_content(p->seed, page, ++p->version[page]);
        uint64_t start = perf_ticks();

        perf_write_all(perf_page(p, page), content);
        perf_record(run, start, 0);
    }
}

/* The scattered and the final verification: they differ in what came before. */
static void perf_verify(struct perf *p, struct perf_run *run)
{
    for (uint64_t page = 0; page < p->pages; page++) {
        perf_access_read(p, run, page);
    }
}

static void perf_seq_read(struct perf *p, struct perf_run *run)
{
    for (uint64_t pass = 0; pass < p->passes; pass++) {
        perf_verify(p, run);
    }
}

static void perf_seq_rw(struct perf *p, struct perf_run *run)
{
    for (uint64_t i = 0; i < p->passes * p->pages; i++) {
        uint64_t page = i % p->pages;
        struct perf_content before = perf_content(p->seed, page, p->version[page]);
        struct perf_content after = perf_content(p->seed, page, ++p->version[page]);
        uint64_t start = perf_ticks(), wrong;

        wrong = perf_check_all(perf_page(p, page), before);
        perf_write_version(perf_page(p, page), after);
        perf_record(run, start, wrong);
    }
}

/* Reads every stride-th page, then again one page further on, until each had its turn. */
static void perf_strided(struct perf *p, struct perf_run *run)
{
    for (uint64_t first = 0; first < p->stride; first++) {
        for (uint64_t page = first; page < p->pages; page += p->stride) {
            if (perf_access_peek(p, run, page) > run->deadline) {
                return;
            }
        }
    }
}

/* Pages first, first + step, ...: `count` of them. Threads share the range with step > 1. */
static void perf_uniform(struct perf *p, struct perf_run *run, uint64_t *random, uint64_t ops,
                         uint64_t first, uint64_t step, uint64_t count)
{
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t page = first + step * perf_below(random, count);

        if (perf_access_rmw(p, run, page) > run->deadline) {
            return;
        }
    }
}

static void perf_uniform_rmw(struct perf *p, struct perf_run *run)
{
    perf_uniform(p, run, &p->random, p->ops, 0, 1, p->pages);
}

static void perf_zipf_rmw(struct perf *p, struct perf_run *run)
{
    struct perf_zipf zipf;

    perf_zipf_init(&zipf, p->pages);
    for (uint64_t i = 0; i < p->ops; i++) {
        uint64_t rank = perf_zipf_draw(&zipf, &p->random);

        if (perf_access_rmw(p, run, perf_scatter(rank, p->pages)) > run->deadline) {
            return;
        }
    }
}

/* A set that fits in DRAM, in the middle of memory that mostly does not. Two passes bring it in, and
 * half as many accesses as are timed let it settle (what is on probation comes back, huge pages form
 * again): they count for nothing. What is asked for is how memory in use behaves after that. */
static uint64_t perf_hot_first(const struct perf *p)
{
    return (p->pages - p->hot_pages) / 2;
}

static void perf_hot(struct perf *p, struct perf_run *run)
{
    uint64_t first = perf_hot_first(p);
    uint64_t wrong = 0, start;

    for (uint64_t i = 0; i < 2 * p->hot_pages; i++) {
        uint64_t page = first + i % p->hot_pages;
        struct perf_content content = perf_content(p->seed, page, p->version[page]);
        wrong += perf_check_all(perf_page(p, page), content) != 0;
    }
    perf_uniform(p, run, &p->random, p->hot_ops / 2, first, 1, p->hot_pages);
    wrong += run->bad;
    perf_clear(run);
    start = perf_ticks();
    run->ticks = start; /* perf_one() takes this for the beginning */
    run->deadline = start + p->cap_ms * p->ticks_per_ms;
    perf_uniform(p, run, &p->random, p->hot_ops, first, 1, p->hot_pages);
    run->bad += wrong;
}

static const struct {
    const char *name;
    void (*work)(struct perf *p, struct perf_run *run);
} perf_workloads[] = {
    {"fill", perf_fill},
    {"seq-read", perf_seq_read},
    {"seq-rw", perf_seq_rw},
    {"strided", perf_strided},
    {"uniform-rmw", perf_uniform_rmw},
    {"zipf-rmw", perf_zipf_rmw},
    {"scattered-verify", perf_verify},
    {"threads", platform_threads},
    {"hot", perf_hot},
    {"idle", platform_idle},
    {"final-verify", perf_verify},
};

/* Text, made without libc. */

struct perf_line {
    unsigned length;
    char text[512];
};

static void perf_put(struct perf_line *line, const char *text)
{
    while (*text && line->length < sizeof line->text - 1) {
        line->text[line->length++] = *text++;
    }
    line->text[line->length] = 0;
}

static void perf_put_number(struct perf_line *line, const char *key, uint64_t value)
{
    char digits[24];
    unsigned at = sizeof digits;

    digits[--at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    perf_put(line, key);
    perf_put(line, digits + at);
}

static uint64_t perf_ns(const struct perf *p, uint64_t ticks)
{
    return (uint64_t)(int64_t)((double)(int64_t)ticks * 1e6 / (double)(int64_t)p->ticks_per_ms);
}

static void perf_report(const struct perf *p, const char *name, const struct perf_run *run)
{
    struct perf_line line = {0};
    uint64_t mean = run->ops ? perf_ns(p, run->latency_sum) / run->ops : 0;

    perf_put(&line, "PERF {\"workload\": \"");
    perf_put(&line, name);
    perf_put_number(&line, "\", \"ops\": ", run->ops);
    perf_put_number(&line, ", \"ns\": ", perf_ns(p, run->ticks));
    perf_put_number(&line, ", \"mean_ns\": ", mean);
    perf_put_number(&line, ", \"p50_ns\": ", perf_ns(p, perf_quantile(run, 500)));
    perf_put_number(&line, ", \"p99_ns\": ", perf_ns(p, perf_quantile(run, 990)));
    perf_put_number(&line, ", \"p999_ns\": ", perf_ns(p, perf_quantile(run, 999)));
    perf_put_number(&line, ", \"most_ns\": ", perf_ns(p, run->latency_most));
    perf_put_number(&line, ", \"bad\": ", run->bad);
    perf_put(&line, "}\n");
    platform_print(line.text);
}

static int perf_same(const char *name, const char *word)
{
    while (*name && *name == *word) {
        name++, word++;
    }
    return !*name && (!*word || *word == '+' || *word == ' ');
}

static int perf_one(struct perf *p, const char *word)
{
    static struct perf_run run;
    struct perf_line line = {0};

    for (unsigned i = 0; i < sizeof perf_workloads / sizeof *perf_workloads; i++) {
        const char *name = perf_workloads[i].name;

        if (!perf_same(name, word)) {
            continue;
        }
        perf_clear(&run);
        if (perf_workloads[i].work == perf_hot) {
            platform_describe_hot(p, perf_hot_first(p));
        }
        perf_put(&line, "PERF READY ");
        perf_put(&line, name);
        perf_put(&line, "\n");
        platform_print(line.text);
        platform_wait_go();
        run.ticks = perf_ticks();
        run.deadline = run.ticks + p->cap_ms * p->ticks_per_ms;
        perf_workloads[i].work(p, &run);
        run.ticks = perf_ticks() - run.ticks;
        p->bad += run.bad;
        perf_report(p, name, &run);
        return 1;
    }
    return 0;
}

/* Runs a list such as "fill+seq-read"; returns whether all of it was known and verified. */
static int perf_run_list(struct perf *p, const char *list)
{
    struct perf_line line = {0};

    platform_describe(p);
    for (const char *word = list; *word && *word != ' ';) {
        if (!perf_one(p, word)) {
            platform_print("PERF REFUSED a word of the list is no workload here\n");
            return 0;
        }
        while (*word && *word != '+' && *word != ' ') {
            word++;
        }
        word += *word == '+';
    }
    perf_put_number(&line, "PERF DONE bad=", p->bad);
    perf_put(&line, "\n");
    platform_print(line.text);
    return p->bad == 0;
}

#endif
