/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guests for measuring live migration, all of it in ring 3: memory is filled, then written at a pace
 * that the time stamp counter sets, so that each run does the same however fast the machine is.
 *
 * Command line (QEMU -append), words separated by blanks:
 *   mib=N               RAM of the machine. All of it but the firmware's is filled first, no two pages alike
 *   start=MiB           where the pages that are worked on begin (default 16)
 *   hot=KiB hot-ms=N    the first of them: all are written every N ms (default 10)
 *   sweep=KiB sweep-ms=N  the pages after them: one by one, all of them every N ms (default 5000)
 *   random=1            the sweep's pages in random order, with repetitions
 *   silent=1            what is written is what was there
 *   read=1              only read
 *   seed=N
 *
 * Prints READY once memory is filled, then every quarter of a second of its time
 *   BEAT number hot-rounds sweep-pages most-late-us
 */
#include "runtime.h"
#include "timer.h"

#define PAGE 4096u
#define KIB 1024u
#define MIB (1024u * 1024u)
/* The firmware keeps tables at the end of RAM. */
#define FIRMWARE (1u * MIB)
#define MOST_MIB 3000u
#define BEAT_MS 250u

extern const char image_end[];

void guest_main(uint32_t cpu);

static struct {
    uint64_t mib, start, hot, hot_ms, sweep, sweep_ms, random, silent, read, seed;
} job = {.mib = 128, .start = 16, .hot_ms = 10, .sweep_ms = 5000, .seed = 1};

static void read_job(void)
{
    const char *line = command_line();

    option_number(line, "mib", &job.mib);
    option_number(line, "start", &job.start);
    option_number(line, "hot", &job.hot);
    option_number(line, "hot-ms", &job.hot_ms);
    option_number(line, "sweep", &job.sweep);
    option_number(line, "sweep-ms", &job.sweep_ms);
    option_number(line, "random", &job.random);
    option_number(line, "silent", &job.silent);
    option_number(line, "read", &job.read);
    option_number(line, "seed", &job.seed);
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 31) * 0xd6e8feb86659fd93u;
    return value ^ value >> 32;
}

static void fill(uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += sizeof(uint64_t)) {
        *(volatile uint64_t *)at = mix(at + job.seed) | 1; /* no page of zeros */
    }
}

/* What the guest does to a page when its turn comes. */
static void touch(uint64_t page, uint64_t turn)
{
    volatile uint64_t *word = (volatile uint64_t *)page;

    for (unsigned i = 0; i < 4; i++, word += PAGE / 4 / sizeof *word) {
        uint64_t found = *word;
        if (!job.read) {
            *word = job.silent ? found : mix(page + i + turn) | 1;
        }
    }
}

static void print_word(uint64_t value)
{
    print(" ");
    print_number(value, 10);
}

static void beat(uint64_t number, uint64_t rounds, uint64_t swept, uint64_t late_us)
{
    print("BEAT");
    print_word(number);
    print_word(rounds);
    print_word(swept);
    print_word(late_us);
    print("\n");
}

static void run(uint64_t per_ms)
{
    uint64_t hot_pages = job.hot * KIB / PAGE, pages = job.sweep * KIB / PAGE;
    uint64_t hot_start = job.start * MIB, sweep_start = hot_start + hot_pages * PAGE;
    uint64_t state = mix(job.seed);
    uint64_t hot_turn = job.hot_ms * per_ms, page_turn = pages ? job.sweep_ms * per_ms / pages : 0;
    uint64_t start = ticks(), next_hot = start, next_page = start, next_beat = start;
    uint64_t rounds = 0, swept = 0, beats = 0, late = 0;

    for (;;) {
        uint64_t now = ticks();
        if (hot_pages && now >= next_hot) {
            for (uint64_t i = 0; i < hot_pages; i++) {
                touch(hot_start + i * PAGE, rounds);
            }
            rounds++;
            late = now - next_hot > late ? now - next_hot : late;
            next_hot += hot_turn;
            /* Held up for longer than a turn (the machine was stopped, say): no catching up. */
            next_hot = next_hot < now ? now : next_hot;
        } else if (pages && now >= next_page) {
            state = mix(state + 0x9e3779b97f4a7c15u);
            touch(sweep_start + (job.random ? state : swept) % pages * PAGE, swept + 1000000);
            swept++;
            next_page += page_turn;
            next_page = next_page + hot_turn < now ? now : next_page;
        } else if (now >= next_beat) {
            beat(beats++, rounds, swept, late * 1000 / per_ms);
            late = 0;
            next_beat += BEAT_MS * per_ms;
            next_beat = next_beat < now ? now : next_beat;
        } else {
            pause_cpu();
        }
    }
}

void guest_main(uint32_t cpu)
{
    uint64_t end;

    (void)cpu; /* no second one is started */
    print("START\n");
    read_job();
    end = job.mib * MIB - FIRMWARE;
    if (job.mib > MOST_MIB || job.start * MIB + (job.hot + job.sweep) * KIB > end || !job.hot_ms || !job.sweep_ms) {
        print("REFUSED mib, start, hot or sweep is out of range\n");
        out8(EXIT_PORT, EXIT_BAD);
    }
    fill(((uint64_t)image_end + PAGE - 1) & ~(uint64_t)(PAGE - 1), end);
    print("READY\n");
    run(calibrate());
}
