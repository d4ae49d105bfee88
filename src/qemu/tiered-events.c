/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Engine events to QMP events.
 *
 * They are sent from the engine's own threads. qapi_event_emit() allows that (it takes
 * monitor_lock and nothing else), and it must be so: a bottom half would wait for the main loop,
 * which may itself be the one whose access is held.
 */
#include "qemu/osdep.h"
#include "qapi/qapi-events-tiered-memory.h"
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"

#include "hostmem-tiered.h"
#include "trace.h"

#define PRESSURE_INTERVAL_NS NANOSECONDS_PER_SECOND

static TieredMemoryClass tier_class(const TieredBackend *tb, uint32_t tier)
{
    TieredMemoryTierList *list = tb->tiers;

    for (uint32_t i = 0; i < tier && list->next; i++) {
        list = list->next;
    }
    return list->value->q_class;
}

static const char *error_text(int error)
{
    return error == EBADMSG ? "the checksum does not match" : g_strerror(error);
}

static void send_pressure(TieredBackend *tb)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    int64_t sent = qatomic_read(&tb->pressure_sent_ns);

    if (sent && now - sent < PRESSURE_INTERVAL_NS) {
        return;
    }
    /* Of several threads that come here at once, one sends. */
    if (qatomic_cmpxchg(&tb->pressure_sent_ns, sent, now) == sent) {
        qapi_event_send_tiered_memory_pressure(tb->id);
    }
}

void tiered_event(void *opaque, const struct tidemark_event *event)
{
    TieredBackend *tb = opaque;
    TieredMemoryClass class = tier_class(tb, event->tier);

    trace_tiered_memory_event(tb->id, event->kind, event->tier, event->offset, event->error);
    switch (event->kind) {
    case TIDEMARK_EVENT_PAGE_HELD:
        qapi_event_send_tiered_memory_error(tb->id, event->offset, event->tier, class,
                                            error_text(event->error),
                                            event->error == EBADMSG);
        break;
    case TIDEMARK_EVENT_PAGE_RESOLVED:
        qapi_event_send_tiered_memory_resolved(tb->id, event->offset,
                                               event->error == EHWPOISON);
        /* A reset may have waited for this. */
        qemu_notify_event();
        break;
    case TIDEMARK_EVENT_TIER_DEGRADED:
        qapi_event_send_tiered_memory_tier_degraded(tb->id, event->tier, class,
                                                    error_text(event->error));
        break;
    case TIDEMARK_EVENT_TIER_RECOVERED:
        qapi_event_send_tiered_memory_tier_recovered(tb->id, event->tier, class);
        break;
    case TIDEMARK_EVENT_PRESSURE:
        send_pressure(tb);
        break;
    }
}
