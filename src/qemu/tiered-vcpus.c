/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stopping a machine one of whose vCPUs is blocked by a held page.
 *
 * Such a vCPU sits in a page fault and answers no kick. It executes nothing either, so it counts
 * as paused; cpu->stop is set, and it stops for good as soon as its page is resolved. Another
 * vCPU may wait for it (TCG's exclusive sections, a lock taken in device emulation): once some
 * vCPU is held, the others get a grace period, after which they count as blocked by it.
 *
 * Work that needs the vCPU's own thread cannot be done meanwhile: a reset is put off, `cont` is
 * refused.
 *
 * A vCPU that waits for a page from a migration's source is soon served, unless the connection is
 * broken: then it is held in the same way, until the migration is recovered. When QEMU ends, nobody
 * waits for such pages any more.
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/runstate.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"
#include "trace.h"

/* How often a wait for vCPUs looks whether one of them is held by now. */
#define POLL_MS 20
/* How long a vCPU that is not held itself may take to stop while another one is held. */
#define GRACE_MS 1000

/* It waits for a page that nobody sends now. */
static bool cpu_waits_for_source(const CPUState *cpu)
{
    tidemark_engine *engine = tiered_engine();

    return engine && cpu->created &&
           (tiered_postcopy_stalled() || runstate_check(RUN_STATE_SHUTDOWN)) &&
           tidemark_engine_thread_remote(engine, cpu->thread_id);
}

static bool cpu_is_held(const CPUState *cpu)
{
    tidemark_engine *engine = tiered_engine();

    return engine && cpu->created && (tidemark_engine_thread_held(engine, cpu->thread_id) ||
                                      cpu_waits_for_source(cpu));
}

/* Called with the BQL held. */
static void count_unstopped(unsigned *held, unsigned *busy)
{
    CPUState *cpu;

    *held = *busy = 0;
    CPU_FOREACH(cpu) {
        if (cpu->stopped) {
            continue;
        }
        if (cpu_is_held(cpu)) {
            ++*held;
        } else {
            ++*busy;
        }
    }
}

bool tiered_memory_wait_vcpus(QemuCond *cond)
{
    int64_t now, grace_since_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    unsigned held, busy;
    CPUState *cpu;

    if (!tiered_engine()) {
        return false;
    }
    for (;;) {
        qemu_cond_timedwait_bql(cond, POLL_MS);
        count_unstopped(&held, &busy);
        if (!held && !busy) {
            return true;
        }
        now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
        if (!held) {
            grace_since_ms = now;
        } else if (!busy || now - grace_since_ms >= GRACE_MS) {
            trace_tiered_memory_vcpus_held(held, busy);
            return true;
        }
        CPU_FOREACH(cpu) {
            qemu_cpu_kick(cpu);
        }
    }
}

bool tiered_memory_defers_reset(void)
{
    static bool announced;
    tidemark_engine *engine = tiered_engine();

    /*
     * Any held page counts, not only one a vCPU waits for: a reset also writes guest memory (ROMs),
     * and would block the main loop.
     */
    if (!engine || !tidemark_engine_held_pages(engine)) {
        announced = false;
        return false;
    }
    if (!announced) {
        warn_report("the reset waits until tiered-memory-resolve has dealt with the memory pages"
                    " that could not be read back");
        announced = true;
    }
    return true;
}

bool tiered_memory_may_run(Error **errp)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu_waits_for_source(cpu)) {
            error_setg(errp, "vCPU %d waits for a memory page that is still at the migration's"
                       " source, to which the connection is broken; use migrate-recover and"
                       " migrate with resume first", cpu->cpu_index);
            return false;
        }
        if (cpu_is_held(cpu)) {
            error_setg(errp, "vCPU %d waits for a memory page that could not be read back;"
                       " use tiered-memory-resolve first", cpu->cpu_index);
            return false;
        }
    }
    return true;
}
