/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bare-metal test guest, all of it in ring 3. It writes a value computed
 * from (address, pass) into memory, comes back in the next pass, checks every
 * word and writes the next value. What it reads is therefore either right or
 * counted; there is no operating system in between that could hide an error.
 *
 * Command line (QEMU -append), words separated by blanks:
 *   start=MiB size=MiB   range worked on (default 16, 64)
 *   passes=N             0 means for ever
 *   cpus=N               CPUs that share the range; halves swap every pass
 *   order=seq|rand       page order
 *   words=N              words checked per page, 1..512 (default 512)
 *   rewrite=0|1          0: later passes only read, so pages stay clean
 *   zero=N               every Nth page holds zeros instead of the pattern
 *   hold=1               after DONE keep the machine alive instead of leaving
 */
#include "runtime.h"

#define TRAMPOLINE 0x8000
#define LAPIC_ICR 0xfee00300u
#define PAGE 4096u
#define MIB (1024u * 1024u)
#define MAX_CPUS 8u

extern volatile uint32_t cpus_started;
extern const char trampoline[], trampoline_end[];

static struct {
    uint64_t start, size, passes, cpus, words, rewrite, zero, hold;
    int random;
} job = {.start = 16, .size = 64, .passes = 2, .cpus = 1, .words = 512, .rewrite = 1};

static volatile uint32_t job_ready, arrived, print_lock;
static volatile uint64_t bad_words, barrier_round;

static void read_job(void)
{
    const char *line = command_line();
    const char *order;

    option_number(line, "start", &job.start);
    option_number(line, "size", &job.size);
    option_number(line, "passes", &job.passes);
    option_number(line, "cpus", &job.cpus);
    option_number(line, "words", &job.words);
    option_number(line, "rewrite", &job.rewrite);
    option_number(line, "zero", &job.zero);
    option_number(line, "hold", &job.hold);
    order = option(line, "order");
    job.random = order && order[0] == 'r';
}

static uint64_t pattern(uint64_t address, uint64_t seed)
{
    uint64_t value = (address + seed * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;

    return value ^ (value >> 32);
}

static void report_bad(uint64_t address, uint64_t found, uint64_t wanted)
{
    if (__atomic_fetch_add(&bad_words, 1, __ATOMIC_SEQ_CST) >= 16) {
        return; /* counted, but sixteen lines are enough to start from */
    }
    while (__atomic_exchange_n(&print_lock, 1, __ATOMIC_ACQUIRE)) {
        pause_cpu();
    }
    print("BAD addr=0x");
    print_number(address, 16);
    print(" found=0x");
    print_number(found, 16);
    print(" wanted=0x");
    print_number(wanted, 16);
    print("\n");
    __atomic_store_n(&print_lock, 0, __ATOMIC_RELEASE);
}

/* check: the seed the page must hold, or 0; write: the seed it gets, or 0. */
static void work_page(uint64_t page, uint64_t check, uint64_t write)
{
    uint64_t step = PAGE / job.words & ~(uint64_t)7;
    int zero = job.zero && (page / PAGE) % job.zero == 0;

    for (uint64_t i = 0; i < job.words; i++) {
        volatile uint64_t *word = (volatile uint64_t *)(page + i * step);
        if (check) {
            uint64_t wanted = zero ? 0 : pattern((uint64_t)word, check);
            uint64_t found = *word;
            if (found != wanted) {
                report_bad((uint64_t)word, found, wanted);
            }
        }
        if (write) {
            *word = zero ? 0 : pattern((uint64_t)word, write);
        }
    }
}

static void work_range(uint64_t start, uint64_t bytes, uint64_t check, uint64_t write)
{
    uint64_t pages = bytes / PAGE, slots = 1, at = check * 7919 + write;

    if (!job.random) {
        for (uint64_t i = 0; i < pages; i++) {
            work_page(start + i * PAGE, check, write);
        }
        return;
    }
    /* A full-period LCG over the next power of two visits each page once. */
    while (slots < pages) {
        slots *= 2;
    }
    for (uint64_t i = 0; i < slots; i++) {
        at = (at * 1664525 + 1013904223) & (slots - 1);
        if (at < pages) {
            work_page(start + at * PAGE, check, write);
        }
    }
}

/* All CPUs wait for the last; round counts the meetings so far. */
static void barrier(uint64_t round)
{
    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == job.cpus) {
        arrived = 0;
        __atomic_store_n(&barrier_round, round, __ATOMIC_SEQ_CST);
    }
    while (__atomic_load_n(&barrier_round, __ATOMIC_SEQ_CST) < round) {
        pause_cpu();
    }
}

static void run(uint32_t cpu)
{
    uint64_t share = job.size * MIB / job.cpus & ~(uint64_t)(PAGE - 1);
    uint64_t held = 0; /* seed that is in memory now */

    for (uint64_t pass = 1; !job.passes || pass <= job.passes; pass++) {
        uint64_t part = (cpu + pass) % job.cpus;
        uint64_t next = pass == 1 || job.rewrite ? pass : 0;
        work_range(job.start * MIB + part * share, share, held, next);
        held = next ? next : held;
        barrier(pass);
        if (cpu == 0) {
            print("PASS ");
            print_number(pass, 10);
            print(bad_words ? " bad\n" : " ok\n");
        }
    }
}

static void start_other_cpus(void)
{
    volatile uint32_t *icr = (volatile uint32_t *)(uintptr_t)LAPIC_ICR;
    volatile char *target = (volatile char *)(uintptr_t)TRAMPOLINE;

    for (const char *from = trampoline; from < trampoline_end; from++) {
        *target++ = *from;
    }
    *icr = 0x000c4500; /* INIT to all but self */
    for (int i = 0; i < 1000; i++) {
        out8(0x80, 0);
    }
    *icr = 0x000c4600 | TRAMPOLINE >> 12;
    for (int i = 0; i < 200 && cpus_started < job.cpus; i++) {
        out8(0x80, 0);
    }
    if (cpus_started < job.cpus) { /* a second start-up IPI, as the manual asks */
        *icr = 0x000c4600 | TRAMPOLINE >> 12;
    }
    while (cpus_started < job.cpus) {
        pause_cpu();
    }
    print("CPUS ");
    print_number(cpus_started, 10);
    print("\n");
}

void guest_main(uint32_t cpu);
void guest_main(uint32_t cpu)
{
    if (cpu == 0) {
        read_job();
        print("START\n");
        if (job.cpus > MAX_CPUS || !job.cpus || !job.words || job.words > 512) {
            print("REFUSED cpus or words out of range\n");
            out8(EXIT_PORT, EXIT_BAD);
        }
        if (job.cpus > 1) {
            start_other_cpus();
        }
        __atomic_store_n(&job_ready, 1, __ATOMIC_RELEASE);
    }
    while (!__atomic_load_n(&job_ready, __ATOMIC_ACQUIRE)) {
        pause_cpu();
    }
    if (cpu >= job.cpus) {
        return;
    }
    run(cpu);
    if (cpu != 0) {
        return;
    }
    print("DONE bad=");
    print_number(bad_words, 10);
    print("\n");
    if (!job.hold) {
        out8(EXIT_PORT, bad_words ? EXIT_BAD : EXIT_OK);
    }
}
