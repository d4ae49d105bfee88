/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The benchmark's workloads without an operating system, all of it in ring 3; see
 * ../perf_workloads.h. Results go to the debug console, go-aheads come over the first serial port.
 *
 * Command line (QEMU -append), words separated by blanks:
 *   mib=N        footprint; RAM must reach 32 MiB beyond it, all of it below the PCI hole
 *   list=A+B+... workloads, in order; the first must be fill, threads and idle are not offered
 *   ops=N        accesses of each random workload
 *   hot=MiB hot-ops=N   the hot set and the accesses to it
 *   passes=N     of seq-read and seq-rw
 *   stride=N     pages from one access of strided to the next
 *   cap-ms=N     random workloads end after this time with fewer accesses
 *   seed=N
 *   wait=1       before each workload, wait for a line on the serial port
 *   hold=1       after the last line keep the machine alive instead of leaving
 */
#include "perf_workloads.h"
#include "runtime.h"
#include "timer.h"

#define IMAGE 0x100000u    /* where guest.ld puts us */
#define VERSIONS 0x1000000u /* 16 MiB; the footprint follows at the next 2 MiB */
#define HUGE 0x200000u
#define MIB (1024u * 1024u)
#define MOST_MIB 3000u
#define SERIAL_DATA 0x3f8
#define SERIAL_STATUS 0x3fd
#define SERIAL_READY 1

extern const char image_end[];

void guest_main(uint32_t cpu);

static uint64_t wait_for_go;

static void platform_print(const char *text)
{
    print(text);
}

static void platform_wait_go(void)
{
    while (wait_for_go) {
        if (!(in8(SERIAL_STATUS) & SERIAL_READY)) {
            for (int i = 0; i < 5000; i++) { /* each look leaves the guest: not too often */
                pause_cpu();
            }
        } else if (in8(SERIAL_DATA) == '\n') {
            return;
        }
    }
}

static void refuse(const char *sentence)
{
    print("PERF REFUSED ");
    print(sentence);
    print("\n");
    out8(EXIT_PORT, EXIT_BAD);
    for (;;) {
        pause_cpu();
    }
}

static void platform_threads(struct perf *p, struct perf_run *run)
{
    (void)p;
    (void)run;
    refuse("threads needs the Linux guest");
}

static void platform_idle(struct perf *p, struct perf_run *run)
{
    (void)p;
    (void)run;
    refuse("idle needs the Linux guest"); /* ring 3 can't halt */
}

static void platform_describe(struct perf *p)
{
    struct perf_line line = {0};

    perf_put_number(&line, "PERF INFO {\"pages\": ", p->pages);
    perf_put_number(&line, ", \"ticks_per_ms\": ", p->ticks_per_ms);
    perf_put_number(&line, ", \"own_bytes\": ",
                    (uint64_t)image_end - IMAGE + p->pages * sizeof *p->version);
    perf_put(&line, "}\n");
    print(line.text);
}

static void platform_describe_hot(struct perf *p, uint64_t first_page)
{
    struct perf_line line = {0};

    perf_put_number(&line, "PERF HOT [[", (uint64_t)perf_page(p, first_page));
    perf_put_number(&line, ", ", p->hot_pages * PERF_PAGE);
    perf_put(&line, "]]\n");
    print(line.text);
}

static void read_options(struct perf *p, const char *line)
{
    uint64_t mib = 64, hot = 0, seed = 1;

    p->ops = 20000;
    p->passes = 1;
    p->stride = 16;
    p->cap_ms = 60000;
    option_number(line, "mib", &mib);
    option_number(line, "hot", &hot);
    option_number(line, "seed", &seed);
    option_number(line, "ops", &p->ops);
    p->hot_ops = p->ops;
    option_number(line, "hot-ops", &p->hot_ops);
    option_number(line, "passes", &p->passes);
    option_number(line, "stride", &p->stride);
    option_number(line, "cap-ms", &p->cap_ms);
    option_number(line, "wait", &wait_for_go);
    hot = hot ? hot : mib / 8;
    if (!mib || mib > MOST_MIB || !hot || hot > mib || !p->stride) {
        refuse("mib, hot or stride is out of range");
    }
    p->pages = mib * MIB / PERF_PAGE;
    p->hot_pages = hot * MIB / PERF_PAGE;
    p->seed = perf_mix(seed);
    p->random = perf_mix(p->seed);
}

void guest_main(uint32_t cpu)
{
    static struct perf p;
    const char *line = command_line(), *list = option(line, "list");
    uint64_t hold = 0, at;
    int good;

    (void)cpu; /* no second one is started */
    print("START\n");
    read_options(&p, line);
    option_number(line, "hold", &hold);
    if (!list || !perf_same("fill", list)) {
        refuse("list must begin with fill");
    }
    p.version = (uint32_t *)(uintptr_t)VERSIONS;
    at = VERSIONS + p.pages * sizeof *p.version;
    p.memory = (volatile uint64_t *)((at + HUGE - 1) & ~(uint64_t)(HUGE - 1));
    for (uint64_t page = 0; page < p.pages; page++) {
        p.version[page] = 0; /* touched now, not during the fill */
    }
    p.ticks_per_ms = calibrate();
    good = perf_run_list(&p, list);
    if (!hold) {
        out8(EXIT_PORT, good ? EXIT_OK : EXIT_BAD);
    }
}
