/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time for the bare-metal guests: the time stamp counter, and how fast it counts.
 */
#ifndef TIDEMARK_GUEST_TIMER_H
#define TIDEMARK_GUEST_TIMER_H

#include "runtime.h"

#define PIT_HZ 1193182u
#define PIT_COUNT 65535u
#define PIT_ENOUGH 45000u

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

struct timer_reading {
    uint64_t ticks, count, doubt;
};

/* The interval timer's count and the time stamp it belongs to. Each port access leaves the guest,
 * so of some tries the quickest one is the one to believe. */
static inline struct timer_reading read_timer(void)
{
    struct timer_reading best = {.doubt = UINT64_MAX};

    for (int i = 0; i < 30; i++) {
        uint64_t before = ticks(), after, count;

        out8(0x43, 0x80); /* hold channel 2's count */
        after = ticks();
        count = in8(0x42);
        count |= (uint64_t)in8(0x42) << 8;
        if (after - before < best.doubt) {
            best = (struct timer_reading){before + (after - before) / 2, count, after - before};
        }
    }
    return best;
}

/* Ticks per ms, by channel 2 of the interval timer counting down for about 40 ms. */
static inline uint64_t calibrate(void)
{
    struct timer_reading first, last;

    out8(0x61, (uint8_t)((in8(0x61) & ~2u) | 1u)); /* gate open, speaker off */
    out8(0x43, 0xb0);                              /* channel 2, mode 0, both bytes */
    out8(0x42, PIT_COUNT & 0xff);
    out8(0x42, PIT_COUNT >> 8);
    first = read_timer();
    do {
        for (int i = 0; i < 20000; i++) {
            pause_cpu();
        }
        last = read_timer();
    } while (first.count - last.count < PIT_ENOUGH && last.count < first.count);
    if (last.count >= first.count) {
        return calibrate(); /* it came round: the host took more than 15 ms away; again */
    }
    return (last.ticks - first.ticks) * PIT_HZ / (first.count - last.count) / 1000;
}

#endif
