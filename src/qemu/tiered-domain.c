/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Binding a VM to what the host has decided for it: its RAM objects become tiered ones, and a
 * second monitor leads to the daemon.
 *
 * A management layer asks for memory-backend-ram, at the start for each NUMA cell and later for
 * each DIMM that it plugs in. Each object gets the share of the VM's DRAM and tiers that its
 * size is of the VM's memory. Its id and other properties stay, so what refers to it (machine,
 * NUMA node, DIMM, migration stream) notices nothing.
 */
#include "qemu/osdep.h"
#include "chardev/char.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-char.h"
#include "qapi/qapi-types-control.h"
#include "qapi/qapi-visit-qom.h"
#include "qapi/qobject-input-visitor.h"
#include "qemu/error-report.h"
#include "qemu/host-utils.h"
#include "qemu/module.h"
#include "qemu/notify.h"
#include "qemu/units.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "system/system.h"

#include "hostmem-tiered.h"
#include "tiered-domain.h"
#include "tiered-memory-hooks.h"
#include "tiered-migration-config.h"
#include "trace.h"

#define MONITOR_ID "tidemark-qmp"
/* The daemon may start later, or again: how often its socket is tried. */
#define RECONNECT_MS 500
#define SHARE_ALIGN (2 * MiB)
/* The engine accepts no less. */
#define MIN_LIMIT (16 * MiB)

/* Settings that mean the same for the VM and for one object of it. */
static const char *const common_settings[] = {
    "eviction-policy", "cold-age", "prefetch", "prefetch-window", "reclaim-slowdown", "learn",
    "group",
};

/*
 * @whole * @size / @memory, rounded up to 2 MiB: limit and tiers of an object together still
 * hold it if those of the VM hold the VM.
 */
static uint64_t share_of(uint64_t whole, uint64_t size, uint64_t memory)
{
    uint64_t low, high;

    mulu64(&low, &high, whole, size);
    divu128(&low, &high, memory);
    if (high || low > INT64_MAX - SHARE_ALIGN) {
        return QEMU_ALIGN_DOWN((uint64_t)INT64_MAX, SHARE_ALIGN);
    }
    return ROUND_UP(low, SHARE_ALIGN);
}

static uint64_t dram_share(const TieredDomain *domain, uint64_t size)
{
    return MIN(MAX(share_of(domain->dram_limit, size, domain->memory), MIN_LIMIT), size);
}

/* The VM's tiers with this object's share of what has a size; nothing else the file may say. */
static QList *tier_shares(const TieredDomain *domain, uint64_t size)
{
    static const char *const kept[] = { "path", "class", "capacity", "write-budget" };
    QList *tiers = qlist_new();
    const QListEntry *entry;

    QLIST_FOREACH_ENTRY(qobject_to(QList, qdict_get(domain->config, "tiers")), entry) {
        const QDict *whole = qobject_to(QDict, qlist_entry_obj(entry));
        QDict *tier = qdict_new();

        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
            QObject *value = qdict_get(whole, kept[i]);
            QNum *number = qobject_to(QNum, value);
            uint64_t bytes;

            if (number && qnum_get_try_uint(number, &bytes)) {
                qdict_put(tier, kept[i],
                          qnum_from_uint(share_of(bytes, size, domain->memory)));
            } else if (value) {
                qdict_put_obj(tier, kept[i], qobject_ref(value));
            }
        }
        qlist_append(tiers, tier);
    }
    return tiers;
}

static bool check_ram(const TieredDomain *domain, const char *id, const QDict *props,
                      Error **errp)
{
    if (qdict_get_try_bool(props, "share", false)) {
        error_setg(errp, "memory '%s' is shared with other processes, but %s makes this VM's"
                   " memory tiered, which works for private memory only: remove <access"
                   " mode='shared'/> from the domain's <memoryBacking>, or its tidemark element",
                   id, domain->path);
        return false;
    }
    if (qdict_get_try_bool(props, "prealloc", false)) {
        error_setg(errp, "memory '%s' is to be allocated at once, but %s makes this VM's memory"
                   " tiered, which never has all of it in DRAM: remove <allocation"
                   " mode='immediate'/> from the domain's <memoryBacking>, or its tidemark"
                   " element", id, domain->path);
        return false;
    }
    return true;
}

/* Here the sentence can still say where a wrong value comes from. */
static bool check_values(const TieredDomain *domain, const QDict *props, Error **errp)
{
    ERRP_GUARD();
    Visitor *v = qobject_input_visitor_new(QOBJECT(props));
    MemoryBackendTieredProperties *properties = NULL;
    bool ok = visit_type_MemoryBackendTieredProperties(v, NULL, &properties, errp);

    if (!ok) {
        error_prepend(errp, "cannot use %s, which says how this VM's memory is tiered: ",
                      domain->path);
    }
    qapi_free_MemoryBackendTieredProperties(properties);
    visit_free(v);
    return ok;
}

static bool make_tiered(const TieredDomain *domain, const char *id, QDict *props, Error **errp)
{
    uint64_t size = 0, limit;
    QNum *number = qobject_to(QNum, qdict_get(props, "size"));

    /* A size of 0 is refused by the object itself. */
    if (number) {
        qnum_get_try_uint(number, &size);
    }
    limit = dram_share(domain, size);
    qdict_put(props, "dram-limit", qnum_from_uint(limit));
    qdict_put(props, "tiers", tier_shares(domain, size));
    for (size_t i = 0; i < ARRAY_SIZE(common_settings); i++) {
        QObject *value = qdict_get(domain->config, common_settings[i]);

        if (value) {
            qdict_put_obj(props, common_settings[i], qobject_ref(value));
        }
    }
    trace_tiered_memory_bind(id, size, limit);
    return check_values(domain, props, errp);
}

bool tiered_domain_bind(const char **type, const char *id, QDict *props, Error **errp)
{
    const TieredDomain *domain;

    if (!g_str_has_prefix(*type, "memory-backend-")) {
        return true;
    }
    if (!tiered_domain_get(&domain, errp)) {
        return false;
    }
    if (!domain || g_str_equal(*type, TYPE_MEMORY_BACKEND_TIERED)) {
        return true;
    }
    if (!g_str_equal(*type, TYPE_MEMORY_BACKEND_RAM)) {
        error_setg(errp, "memory '%s' is a %s (a file, huge pages or shared memory), but %s makes"
                   " this VM's memory tiered, which works for anonymous memory only: remove"
                   " <hugepages>, <source> and <access mode='shared'/> from the domain's"
                   " <memoryBacking>, or its tidemark element", id, *type, domain->path);
        return false;
    }
    if (!check_ram(domain, id, props, errp) || !make_tiered(domain, id, props, errp)) {
        return false;
    }
    *type = TYPE_MEMORY_BACKEND_TIERED;
    return true;
}

/* Like -chardev socket,path=...,server=off,reconnect-ms=... -mon mode=control */
static bool open_monitor(const char *path, Error **errp)
{
    ERRP_GUARD();
    UnixSocketAddress name = { .path = (char *)path };
    UnixSocketAddressWrapper name_wrapper = { .data = &name };
    SocketAddressLegacy address = { .type = SOCKET_ADDRESS_TYPE_UNIX, .u.q_unix = name_wrapper };
    ChardevSocket connection = {
        .addr = &address,
        .has_server = true,
        .server = false,
        .has_reconnect_ms = true,
        .reconnect_ms = RECONNECT_MS,
    };
    ChardevBackend backend = { .type = CHARDEV_BACKEND_KIND_SOCKET, .u.socket.data = &connection };
    MonitorOptions monitor = {
        .id = (char *)MONITOR_ID,
        .has_mode = true,
        .mode = MONITOR_MODE_CONTROL,
        .chardev = (char *)MONITOR_ID,
    };

    qapi_free_ChardevReturn(qmp_chardev_add(MONITOR_ID, &backend, errp));
    return !*errp && monitor_init(&monitor, false, errp) == 0;
}

/* A guest that cannot be watched runs as well: its migration is only foretold worse. */
static void learn_writes(const TieredDomain *domain)
{
    const TieredMigrationSettings settings = { .has_learn = true, .learn = true };
    Error *err = NULL;

    if (domain->learn_writes && !tiered_migration_configure(&settings, &err)) {
        warn_reportf_err(err, "%s wants the guest's writes learnt: ", domain->path);
    }
}

/* The machine is complete, and nothing of the guest has run yet. */
static void domain_ready(Notifier *notifier, void *data)
{
    const TieredDomain *domain;
    Error *err = NULL;

    if (!tiered_domain_get(&domain, &err)) {
        goto fail;
    }
    if (!domain) {
        return;
    }
    if (!tiered_backend_exists()) {
        error_setg(&err, "%s makes this VM's memory tiered, but the VM has no memory object that"
                   " could be: give its RAM as -object memory-backend-ram", domain->path);
        goto fail;
    }
    learn_writes(domain);
    if (!domain->monitor || open_monitor(domain->monitor, &err)) {
        return;
    }
    error_prepend(&err, "cannot make the monitor for the daemon: ");
fail:
    error_report_err(err);
    exit(EXIT_FAILURE);
}

static Notifier ready_notifier = { .notify = domain_ready };

static void add_notifier(void)
{
    qemu_add_machine_init_done_notifier(&ready_notifier);
}

type_init(add_notifier);
