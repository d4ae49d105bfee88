/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perf KEY=VALUE ...: the benchmark's workloads on anonymous memory; see ../perf_workloads.h.
 *   mib=N           footprint
 *   list=A+B+...    workloads, in order; the first must be fill
 *   ops=N           accesses of each random workload (of all threads together)
 *   hot=MiB hot-ops=N   the hot set and the accesses to it
 *   passes=N        of seq-read and seq-rw (default 1)
 *   stride=N        pages from one access of strided to the next (default 16)
 *   threads=N       default 2
 *   cap-ms=N        random workloads end after this time with fewer accesses
 *   idle-ms=N
 *   seed=N
 *   wait=1          before each workload, wait for a line on standard input
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "perf_workloads.h"

#define MOST_THREADS 16
#define MOST_PIECES 200

static int wait_for_go;

static void platform_print(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

static void platform_wait_go(void)
{
    char byte;

    if (!wait_for_go) {
        return;
    }
    do { /* byte by byte: what follows the line is the shell's */
        if (read(STDIN_FILENO, &byte, 1) != 1) {
            fail("PERF REFUSED standard input ended");
        }
    } while (byte != '\n');
}

struct worker {
    struct perf *perf;
    struct perf_run *run;
    uint64_t number, random;
    pthread_t thread;
};

/* Thread t of n has the pages t, t + n, ...: neighbours of its pages are always the others'. */
static void *work(void *argument)
{
    struct worker *worker = argument;
    struct perf *p = worker->perf;

    perf_uniform(p, worker->run, &worker->random, p->ops / p->threads, worker->number, p->threads,
                 p->pages / p->threads);
    return NULL;
}

static void platform_threads(struct perf *p, struct perf_run *run)
{
    struct worker workers[MOST_THREADS];

    for (uint64_t t = 0; t < p->threads; t++) {
        workers[t] = (struct worker){.perf = p, .number = t, .random = perf_random(&p->random)};
        workers[t].run = calloc(1, sizeof *workers[t].run);
        if (!workers[t].run) {
            fail("PERF REFUSED no memory for %llu threads", (unsigned long long)p->threads);
        }
        workers[t].run->deadline = run->deadline;
        if (pthread_create(&workers[t].thread, NULL, work, &workers[t])) {
            fail("PERF REFUSED could not start thread %llu", (unsigned long long)t);
        }
    }
    for (uint64_t t = 0; t < p->threads; t++) {
        pthread_join(workers[t].thread, NULL);
        perf_add(run, workers[t].run);
        free(workers[t].run);
    }
}

static void platform_idle(struct perf *p, struct perf_run *run)
{
    (void)run;
    usleep((useconds_t)(p->idle_ms * 1000));
}

/* A line of /proc/meminfo in KiB. */
static unsigned long long memory_line(const char *key)
{
    char line[128];
    unsigned long long value = 0;
    FILE *file = fopen("/proc/meminfo", "r");

    while (file && fgets(line, sizeof line, file)) {
        if (!strncmp(line, key, strlen(key))) {
            sscanf(line + strlen(key), ": %llu", &value);
        }
    }
    if (file) {
        fclose(file);
    }
    return value;
}

static void platform_describe(struct perf *p)
{
    char policy[64] = "none";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");

    if (file) {
        if (fgets(policy, sizeof policy, file)) {
            policy[strcspn(policy, "\n")] = 0;
        }
        fclose(file);
    }
    printf("PERF INFO {\"pages\": %llu, \"ticks_per_ms\": %llu, \"own_bytes\": %llu, "
           "\"guest_total_kib\": %llu, \"guest_free_kib\": %llu, \"guest_thp\": \"%s\"}\n",
           (unsigned long long)p->pages, (unsigned long long)p->ticks_per_ms,
           (unsigned long long)(p->pages * sizeof *p->version), memory_line("MemTotal"),
           memory_line("MemFree"), policy);
    fflush(stdout);
}

/* By the guest kernel's page tables; pieces that lie one behind the other are joined. In huge pages
 * they are few; a set in more pieces than can be told in a line is not told. */
static void platform_describe_hot(struct perf *p, uint64_t first_page)
{
    uint64_t start[MOST_PIECES], bytes[MOST_PIECES], entry;
    uint64_t address = (uint64_t)perf_page(p, first_page);
    int pieces = 0, file = open("/proc/self/pagemap", O_RDONLY);

    for (uint64_t i = 0; file >= 0 && i < p->hot_pages; i++) {
        off_t at = (off_t)((address / PERF_PAGE + i) * sizeof entry);
        uint64_t physical;

        if (pread(file, &entry, sizeof entry, at) != sizeof entry || !(entry >> 63)) {
            continue; /* not there: can't be, without swap in the guest */
        }
        physical = (entry & ((UINT64_C(1) << 55) - 1)) * PERF_PAGE;
        if (pieces && start[pieces - 1] + bytes[pieces - 1] == physical) {
            bytes[pieces - 1] += PERF_PAGE;
        } else if (pieces < MOST_PIECES) {
            start[pieces] = physical;
            bytes[pieces++] = PERF_PAGE;
        } else {
            pieces = 0;
            break;
        }
    }
    if (file >= 0) {
        close(file);
    }
    printf("PERF HOT [");
    for (int i = 0; i < pieces; i++) {
        printf("%s[%llu, %llu]", i ? ", " : "", (unsigned long long)start[i],
               (unsigned long long)bytes[i]);
    }
    printf("]\n");
    fflush(stdout);
}

/* Under TCG a clock_gettime may be a device access of several us, the time stamp counter is a
 * helper call; so the counter times accesses, and the kernel's clock tells how fast it runs. */
static uint64_t calibrate(void)
{
    double begin = now_s(), end;
    uint64_t first = perf_ticks(), last;

    usleep(200000);
    end = now_s();
    last = perf_ticks();
    return (uint64_t)((double)(last - first) / (end - begin) / 1e3);
}

static const char *option(int argc, char **argv, const char *key)
{
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], key, strlen(key)) && argv[i][strlen(key)] == '=') {
            return argv[i] + strlen(key) + 1;
        }
    }
    return NULL;
}

static uint64_t option_number(int argc, char **argv, const char *key, uint64_t otherwise)
{
    const char *text = option(argc, argv, key);

    return text ? number(text, key) : otherwise;
}

int main(int argc, char **argv)
{
    static struct perf p;
    const char *list = option(argc, argv, "list");
    uint64_t mib = option_number(argc, argv, "mib", 64);

    p.pages = mib * (1 << 20) / PERF_PAGE;
    p.ops = option_number(argc, argv, "ops", 20000);
    p.hot_pages = option_number(argc, argv, "hot", mib / 8) * (1 << 20) / PERF_PAGE;
    p.hot_ops = option_number(argc, argv, "hot-ops", p.ops);
    p.stride = option_number(argc, argv, "stride", 16);
    p.passes = option_number(argc, argv, "passes", 1);
    p.threads = option_number(argc, argv, "threads", 2);
    p.cap_ms = option_number(argc, argv, "cap-ms", 60000);
    p.idle_ms = option_number(argc, argv, "idle-ms", 1000);
    p.seed = perf_mix(option_number(argc, argv, "seed", 1));
    p.random = perf_mix(p.seed);
    wait_for_go = option_number(argc, argv, "wait", 0) != 0;
    if (!list || !perf_same("fill", list) || p.hot_pages < 1 || p.hot_pages > p.pages ||
        p.threads < 1 || p.threads > MOST_THREADS || p.stride < 1) {
        fail("PERF REFUSED list must begin with fill, hot be 1..mib, threads 1..%d, stride >= 1",
             MOST_THREADS);
    }
    p.memory = mmap(NULL, p.pages * PERF_PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    p.version = malloc(p.pages * sizeof *p.version);
    if (p.memory == MAP_FAILED || !p.version) {
        fail("PERF REFUSED no %llu MiB of memory", (unsigned long long)mib);
    }
    memset(p.version, 0, p.pages * sizeof *p.version); /* touched now, not during the fill */
    p.ticks_per_ms = calibrate();
    return perf_run_list(&p, list) ? 0 : 1;
}
