/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Properties of memory-backend-tiered: all may be given at creation, those of struct
 * tidemark_config also change while the guest runs (qom-set, tiered-memory-configure).
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/qapi-visit-tiered-memory-types.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/visitor.h"
#include "qemu/keyval.h"
#include "qemu/uuid.h"
#include "qobject/qdict.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"
#include "trace.h"

struct tidemark_config tiered_config(const TieredBackend *tb)
{
    return (struct tidemark_config) {
        .size = sizeof(struct tidemark_config),
        .dram_limit = tb->dram_limit,
        .policy = (enum tidemark_policy)tb->policy,
        .cold_age = tb->cold_age,
        .prefetch = tb->prefetch,
        .prefetch_window = tb->prefetch_window,
    };
}

bool tiered_configure(TieredBackend *tb, const struct tidemark_config *config, uint32_t mask,
                      Error **errp)
{
    char msg[512] = "";
    sigset_t saved;
    int ret;

    /* Before creation there is nobody to ask: tidemark_backend_create() checks the values. */
    if (tb->host) {
        tiered_block_signals(&saved); /* a limit cut below the size arms the block */
        ret = tidemark_backend_configure(tb->engine_backend, config, mask, msg, sizeof(msg));
        tiered_restore_signals(&saved);
        trace_tiered_memory_configure(tb->id, mask, ret);
        if (ret < 0) {
            error_setg(errp, "memory-backend-tiered '%s': %s", tb->id,
                       *msg ? msg : strerror(-ret));
            return false;
        }
    }
    if (mask & TIDEMARK_CONFIG_DRAM_LIMIT) {
        tb->dram_limit = config->dram_limit;
    }
    if (mask & TIDEMARK_CONFIG_POLICY) {
        tb->policy = (TieredMemoryPolicy)config->policy;
    }
    if (mask & TIDEMARK_CONFIG_COLD_AGE) {
        tb->cold_age = config->cold_age;
    }
    if (mask & TIDEMARK_CONFIG_PREFETCH) {
        tb->prefetch = config->prefetch;
    }
    if (mask & TIDEMARK_CONFIG_PREFETCH_WINDOW) {
        tb->prefetch_window = config->prefetch_window;
    }
    return true;
}

static void get_dram_limit(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    uint64_t value = MEMORY_BACKEND_TIERED(obj)->dram_limit;

    visit_type_size(v, name, &value, errp);
}

static void set_dram_limit(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    struct tidemark_config config = tiered_config(tb);

    if (!visit_type_size(v, name, &config.dram_limit, errp)) {
        return;
    }
    if (!config.dram_limit) {
        error_setg(errp, "property 'dram-limit' of memory-backend-tiered is 0;"
                   " 16M up to the size is accepted");
        return;
    }
    tiered_configure(tb, &config, TIDEMARK_CONFIG_DRAM_LIMIT, errp);
}

static int get_policy(Object *obj, Error **errp)
{
    return MEMORY_BACKEND_TIERED(obj)->policy;
}

static void set_policy(Object *obj, int value, Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    struct tidemark_config config = tiered_config(tb);

    config.policy = (enum tidemark_policy)value;
    tiered_configure(tb, &config, TIDEMARK_CONFIG_POLICY, errp);
}

static void get_cold_age(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    uint32_t value = MEMORY_BACKEND_TIERED(obj)->cold_age;

    visit_type_uint32(v, name, &value, errp);
}

static void set_cold_age(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    struct tidemark_config config = tiered_config(tb);

    if (visit_type_uint32(v, name, &config.cold_age, errp)) {
        tiered_configure(tb, &config, TIDEMARK_CONFIG_COLD_AGE, errp);
    }
}

static bool get_prefetch(Object *obj, Error **errp)
{
    return MEMORY_BACKEND_TIERED(obj)->prefetch;
}

static void set_prefetch(Object *obj, bool value, Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    struct tidemark_config config = tiered_config(tb);

    config.prefetch = value;
    tiered_configure(tb, &config, TIDEMARK_CONFIG_PREFETCH, errp);
}

static void get_prefetch_window(Object *obj, Visitor *v, const char *name, void *opaque,
                                Error **errp)
{
    uint32_t value = MEMORY_BACKEND_TIERED(obj)->prefetch_window;

    visit_type_uint32(v, name, &value, errp);
}

static void set_prefetch_window(Object *obj, Visitor *v, const char *name, void *opaque,
                                Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    struct tidemark_config config = tiered_config(tb);

    if (visit_type_uint32(v, name, &config.prefetch_window, errp)) {
        tiered_configure(tb, &config, TIDEMARK_CONFIG_PREFETCH_WINDOW, errp);
    }
}

/* 'tiers' and 'group' are fixed once the memory exists. */
static bool check_not_created(Object *obj, const char *name, Error **errp)
{
    if (host_memory_backend_mr_inited(MEMORY_BACKEND(obj))) {
        error_setg(errp, "property '%s' of memory-backend-tiered can only be set at creation",
                   name);
        return false;
    }
    return true;
}

static void get_tiers(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    visit_type_TieredMemoryTierList(v, name, &MEMORY_BACKEND_TIERED(obj)->tiers, errp);
}

static void set_tiers(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    TieredMemoryTierList *tiers = NULL;

    if (!check_not_created(obj, name, errp) ||
        !visit_type_TieredMemoryTierList(v, name, &tiers, errp)) {
        return;
    }
    qapi_free_TieredMemoryTierList(tb->tiers);
    tb->tiers = tiers;
}

static char *get_group(Object *obj, Error **errp)
{
    return g_strdup(MEMORY_BACKEND_TIERED(obj)->group ?: "");
}

static void set_group(Object *obj, const char *value, Error **errp)
{
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    QemuUUID uuid;

    if (!check_not_created(obj, "group", errp)) {
        return;
    }
    if (qemu_uuid_parse(value, &uuid) < 0) {
        error_setg(errp, "property 'group' of memory-backend-tiered is '%s'; a UUID such as"
                   " 0b5a7e62-52a8-4f6e-b8c0-9f4d4d1b7c11 is accepted", value);
        return;
    }
    g_free(tb->group);
    tb->group = g_strdup(value);
}

bool tiered_memory_keeps_off(Object *obj, const char *name, bool value, Error **errp)
{
    if (!value || !object_dynamic_cast(obj, TYPE_MEMORY_BACKEND_TIERED) ||
        !host_memory_backend_mr_inited(MEMORY_BACKEND(obj))) {
        return false;
    }
    error_setg(errp, "property '%s' of memory-backend-tiered can't be turned on: only 'off' is"
               " accepted", name);
    return true;
}

/* Known only so that its refusal can say why. */
static bool get_hugetlb(Object *obj, Error **errp)
{
    return false;
}

static void set_hugetlb(Object *obj, bool value, Error **errp)
{
    if (value) {
        error_setg(errp, "property 'hugetlb' of memory-backend-tiered is 'on', but pages of a"
                   " hugetlb pool cannot leave DRAM; only 'off' is accepted (transparent huge"
                   " pages are used as it is)");
    }
}

Visitor *tiered_memory_keyval_visitor(const char *option)
{
    Visitor *v = NULL;
    bool help;
    QDict *args;

    if (!strstr(option, TYPE_MEMORY_BACKEND_TIERED)) {
        return NULL;
    }
    args = keyval_parse(option, "qom-type", &help, &error_fatal);
    if (!help && g_strcmp0(qdict_get_try_str(args, "qom-type"), TYPE_MEMORY_BACKEND_TIERED) == 0) {
        v = qobject_input_visitor_new_keyval(QOBJECT(args));
    }
    qobject_unref(args);
    return v;
}

void tiered_class_add_properties(ObjectClass *oc)
{
    object_class_property_add(oc, "tiers", "TieredMemoryTierList", get_tiers, set_tiers, NULL,
                              NULL);
    object_class_property_set_description(oc, "tiers",
        "Storage tiers below DRAM, fastest first: path, class (nvme or qlc), capacity");
    object_class_property_add(oc, "dram-limit", "size", get_dram_limit, set_dram_limit, NULL,
                              NULL);
    object_class_property_set_description(oc, "dram-limit", "DRAM this memory may use");
    object_class_property_add_enum(oc, "eviction-policy", "TieredMemoryPolicy",
                                   &TieredMemoryPolicy_lookup, get_policy, set_policy);
    object_class_property_set_description(oc, "eviction-policy",
        "Which page leaves DRAM first");
    object_class_property_add(oc, "cold-age", "uint32", get_cold_age, set_cold_age, NULL, NULL);
    object_class_property_set_description(oc, "cold-age",
        "Seconds after which an untouched page moves on to a qlc tier");
    object_class_property_add_bool(oc, "prefetch", get_prefetch, set_prefetch);
    object_class_property_set_description(oc, "prefetch", "Read ahead on faults");
    object_class_property_add(oc, "prefetch-window", "uint32", get_prefetch_window,
                              set_prefetch_window, NULL, NULL);
    object_class_property_set_description(oc, "prefetch-window",
        "Seconds prefetching looks ahead");
    object_class_property_add_bool(oc, "hugetlb", get_hugetlb, set_hugetlb);
    object_class_property_set_description(oc, "hugetlb", "Only 'off' is accepted");
    object_class_property_add_str(oc, "group", get_group, set_group);
    object_class_property_set_description(oc, "group", "UUID of the affinity group");
}
