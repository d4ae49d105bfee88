/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory-backend-tiered: guest RAM that lives in DRAM, NVMe and QLC.
 *
 * The guest's RAM is ordinary private anonymous memory. The engine takes it over once the block
 * exists, and lets it go in the notifier that the block is about to be freed: the last moment at
 * which the address range is still ours.
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-tiered-memory-types.h"
#include "qemu/madvise.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qom/object_interfaces.h"
#include "system/system.h"
#include "system/xen.h"

#include "hostmem-tiered.h"
#include "trace.h"

#define OBJECT_NAME "memory-backend-tiered"

/* Settings of QEMU itself that keep pages from being moved. */
static bool check_environment(HostMemoryBackend *hb, Error **errp)
{
    if (xen_enabled()) {
        error_setg(errp, OBJECT_NAME " does not work under Xen, where guest memory is not"
                   " QEMU's; use -accel kvm or -accel tcg");
        return false;
    }
    if (hb->guest_memfd || current_machine->cgs) {
        error_setg(errp, OBJECT_NAME " does not work with a confidential guest, whose memory"
                   " the host cannot move; remove the machine's"
                   " confidential-guest-support");
        return false;
    }
    if (should_mlock(mlock_state)) {
        error_setg(errp, OBJECT_NAME " does not work with -overcommit mem-lock=on or"
                   " on-fault: locked pages cannot leave DRAM; use mem-lock=off");
        return false;
    }
    return true;
}

/* Properties inherited from memory-backend that contradict what this object is for. */
static bool check_inherited(HostMemoryBackend *hb, Error **errp)
{
    if (hb->share) {
        error_setg(errp, "property 'share' of " OBJECT_NAME " is 'on', but its memory is"
                   " private to QEMU; only 'off' is accepted");
        return false;
    }
    if (hb->prealloc) {
        error_setg(errp, "property 'prealloc' of " OBJECT_NAME " is 'on' (perhaps by"
                   " -mem-prealloc), which would fill DRAM beyond dram-limit; only 'off' is"
                   " accepted");
        return false;
    }
    if (hb->merge) {
        error_setg(errp, "property 'merge' of " OBJECT_NAME " is 'on', but pages shared by"
                   " KSM cannot leave DRAM; only 'off' is accepted");
        return false;
    }
    return true;
}

static bool check_own(TieredBackend *tb, Error **errp)
{
    HostMemoryBackend *hb = MEMORY_BACKEND(tb);
    size_t tiers = 0;

    if (!hb->size) {
        error_setg(errp, "property 'size' of " OBJECT_NAME " must be given, for example"
                   " size=4G");
        return false;
    }
    if (!tb->config.dram_limit) {
        error_setg(errp, "property 'dram-limit' of " OBJECT_NAME " must be given, for example"
                   " dram-limit=1G");
        return false;
    }
    for (TieredMemoryTierList *t = tb->tiers; t; t = t->next) {
        tiers++;
    }
    if (tiers < 1 || tiers > TIDEMARK_MAX_TIERS) {
        error_setg(errp, "property 'tiers' of " OBJECT_NAME " has %zu elements;"
                   " 1 to %u are accepted", tiers, TIDEMARK_MAX_TIERS);
        return false;
    }
    return true;
}

static bool create_engine_backend(TieredBackend *tb, Error **errp)
{
    struct tidemark_backend_options options;
    tidemark_engine *engine = tiered_engine_start(errp);
    char msg[TIERED_MSG_SIZE] = "";
    sigset_t saved;
    int ret;

    if (!engine) {
        return false;
    }
    tidemark_backend_options_init(&options);
    options.id = tb->id;
    options.block_size = MEMORY_BACKEND(tb)->size;
    for (TieredMemoryTierList *t = tb->tiers; t; t = t->next) {
        options.tiers[options.tier_count++] = (struct tidemark_tier_options) {
            .path = t->value->path,
            .tier_class = t->value->q_class == TIERED_MEMORY_CLASS_QLC ? TIDEMARK_TIER_QLC
                                                                       : TIDEMARK_TIER_NVME,
            .capacity = t->value->has_capacity ? t->value->capacity : 0,
            .write_budget = t->value->has_write_budget ? t->value->write_budget : 0,
        };
    }
    options.config = tb->config;
    options.group = tb->group;
    options.event = tiered_event;
    options.event_opaque = tb;

    tiered_block_signals(&saved);
    ret = tidemark_backend_create(engine, &options, &tb->engine_backend, msg, sizeof(msg));
    tiered_restore_signals(&saved);
    return tiered_succeeded(tb, ret, msg, errp);
}

/* The address range is about to go away: the engine must have let go of it when we return. */
static void tiered_block_removed(RAMBlockNotifier *n, void *host, size_t size, size_t max_size)
{
    TieredBackend *tb = container_of(n, TieredBackend, block_notifier);

    if (!tb->host || host != tb->host) {
        return;
    }
    trace_tiered_memory_detach(tb->id);
    tiered_backend_unlist(tb);
    tb->host = NULL;
    tidemark_backend_destroy(tb->engine_backend);
    tb->engine_backend = NULL;
}

static bool attach_block(TieredBackend *tb, Error **errp)
{
    MemoryRegion *mr = &MEMORY_BACKEND(tb)->mr;
    void *host = memory_region_get_ram_ptr(mr);
    char msg[TIERED_MSG_SIZE] = "";
    sigset_t saved;
    int ret;

    /* -machine mem-merge=on (the default) marks each new block; merged pages cannot be moved. */
    qemu_madvise(host, memory_region_size(mr), QEMU_MADV_UNMERGEABLE);

    tiered_block_signals(&saved);
    ret = tidemark_backend_attach(tb->engine_backend, host, msg, sizeof(msg));
    tiered_restore_signals(&saved);
    if (!tiered_succeeded(tb, ret, msg, errp)) {
        return false;
    }
    tb->host = host;
    tb->block_notifier.ram_block_removed = tiered_block_removed;
    ram_block_notifier_add(&tb->block_notifier);
    tiered_backend_list(tb);
    trace_tiered_memory_attach(tb->id, host, memory_region_size(mr), tb->config.dram_limit);
    return true;
}

static bool tiered_backend_alloc(HostMemoryBackend *hb, Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(hb);
    g_autofree char *name = host_memory_backend_get_name(hb);
    uint32_t ram_flags = RAM_PRIVATE | (hb->reserve ? 0 : RAM_NORESERVE);

    if (!check_environment(hb, errp) || !check_inherited(hb, errp) || !check_own(tb, errp)) {
        return false;
    }
    tb->id = g_strdup(object_get_canonical_path_component(OBJECT(tb)));

    /* Devices that pin all guest RAM (VFIO, vDPA) or copy its page tables refuse themselves now. */
    if (ram_block_discard_require(true) < 0) {
        error_setg(errp, OBJECT_NAME " '%s' cannot be used together with a device that pins"
                   " guest memory (VFIO, vDPA); remove that device", tb->id);
        return false;
    }
    tb->discard_required = true;

    return tiered_migration_prepare(tb, errp) && create_engine_backend(tb, errp) &&
           memory_region_init_ram_flags_nomigrate(&hb->mr, OBJECT(hb), name, hb->size,
                                                  ram_flags, errp) &&
           attach_block(tb, errp);
}

static void tiered_backend_init(Object *obj)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    struct tidemark_backend_options defaults;

    tidemark_backend_options_init(&defaults);
    tb->config = defaults.config;
    tb->config.dram_limit = 0;
    /* Off unless asked for on the object itself, which alloc refuses: not the machine's default. */
    MEMORY_BACKEND(obj)->merge = false;
}

/* The memory region is gone by now: tiered_block_removed() has let go of it. */
static void tiered_backend_finalize(Object *obj)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);

    g_assert(!tb->host);
    if (tb->block_notifier.ram_block_removed) {
        ram_block_notifier_remove(&tb->block_notifier);
    }
    tidemark_backend_destroy(tb->engine_backend);
    tiered_migration_cleanup(tb);
    if (tb->discard_required) {
        ram_block_discard_require(false);
    }
    qapi_free_TieredMemoryTierList(tb->tiers);
    g_free(tb->group);
    g_free(tb->id);
}

static void tiered_backend_class_init(ObjectClass *oc, TidemarkClassData *data)
{
    HostMemoryBackendClass *bc = MEMORY_BACKEND_CLASS(oc);

    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_POLICY_LRU != (int)TIDEMARK_POLICY_LRU);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_POLICY_LFU != (int)TIDEMARK_POLICY_LFU);
    QEMU_BUILD_BUG_ON((int)TIERED_MEMORY_POLICY_FIFO != (int)TIDEMARK_POLICY_FIFO);

    bc->alloc = tiered_backend_alloc;
    tiered_class_add_properties(oc);
}

static const TypeInfo tiered_backend_info = {
    .name = TYPE_MEMORY_BACKEND_TIERED,
    .parent = TYPE_MEMORY_BACKEND,
    .class_init = tiered_backend_class_init,
    .instance_init = tiered_backend_init,
    .instance_finalize = tiered_backend_finalize,
    .instance_size = sizeof(TieredBackend),
};

static void register_types(void)
{
    type_register_static(&tiered_backend_info);
}

type_init(register_types);
