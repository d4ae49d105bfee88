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
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "qemu/keyval.h"
#include "qemu/uuid.h"
#include "qobject/qdict.h"

#include "hostmem-tiered.h"
#include "tiered-memory-hooks.h"
#include "trace.h"

static const enum tidemark_origin predictor_origins[TIERED_MEMORY_PREDICTOR__MAX] = {
    [TIERED_MEMORY_PREDICTOR_STREAMS] = TIDEMARK_ORIGIN_STREAMS,
    [TIERED_MEMORY_PREDICTOR_SUCCESSORS] = TIDEMARK_ORIGIN_SUCCESSORS,
    [TIERED_MEMORY_PREDICTOR_PHASES] = TIDEMARK_ORIGIN_PHASES,
    [TIERED_MEMORY_PREDICTOR_NETWORK] = TIDEMARK_ORIGIN_NETWORK,
};

uint32_t tiered_predictor_bits(const TieredMemoryPredictorList *list)
{
    uint32_t bits = 0;

    for (; list; list = list->next) {
        bits |= 1u << predictor_origins[list->value];
    }
    return bits;
}

TieredMemoryPredictorList *tiered_predictor_list(uint32_t bits)
{
    TieredMemoryPredictorList *head = NULL, **tail = &head;

    for (int i = 0; i < TIERED_MEMORY_PREDICTOR__MAX; i++) {
        if (bits & (1u << predictor_origins[i])) {
            QAPI_LIST_APPEND(tail, (TieredMemoryPredictor)i);
        }
    }
    return head;
}

static bool visit_size(Visitor *v, const char *name, void *field, Error **errp)
{
    return visit_type_size(v, name, field, errp);
}

static bool visit_uint32(Visitor *v, const char *name, void *field, Error **errp)
{
    return visit_type_uint32(v, name, field, errp);
}

static bool visit_bool(Visitor *v, const char *name, void *field, Error **errp)
{
    return visit_type_bool(v, name, field, errp);
}

static bool visit_policy(Visitor *v, const char *name, void *field, Error **errp)
{
    enum tidemark_policy *policy = field;
    TieredMemoryPolicy value = (TieredMemoryPolicy)*policy;

    if (!visit_type_TieredMemoryPolicy(v, name, &value, errp)) {
        return false;
    }
    *policy = (enum tidemark_policy)value;
    return true;
}

static bool visit_predictors(Visitor *v, const char *name, void *field, Error **errp)
{
    uint32_t *bits = field;
    TieredMemoryPredictorList *list = visit_is_input(v) ? NULL : tiered_predictor_list(*bits);
    bool ok = visit_type_TieredMemoryPredictorList(v, name, &list, errp);

    if (ok) {
        *bits = tiered_predictor_bits(list);
    }
    qapi_free_TieredMemoryPredictorList(list);
    return ok;
}

/* One field of struct tidemark_config as a property. */
typedef struct Setting {
    const char *name, *type;
    bool (*visit)(Visitor *v, const char *name, void *field, Error **errp);
    uint32_t mask;
    size_t offset, size;
    const char *description;
} Setting;

#define FIELD(field)                                                                               \
    offsetof(struct tidemark_config, field), sizeof_field(struct tidemark_config, field)

static const Setting settings[] = {
    { "dram-limit", "size", visit_size, TIDEMARK_CONFIG_DRAM_LIMIT, FIELD(dram_limit),
      "DRAM this memory may use" },
    { "eviction-policy", "TieredMemoryPolicy", visit_policy, TIDEMARK_CONFIG_POLICY,
      FIELD(policy), "Which page leaves DRAM first" },
    { "cold-age", "uint32", visit_uint32, TIDEMARK_CONFIG_COLD_AGE, FIELD(cold_age),
      "Seconds after which an unused page leaves DRAM although there is room, and after as many"
      " again nvme for qlc" },
    { "prefetch", "bool", visit_bool, TIDEMARK_CONFIG_PREFETCH, FIELD(prefetch),
      "Let predictors bring pages in" },
    { "prefetch-window", "uint32", visit_uint32, TIDEMARK_CONFIG_PREFETCH_WINDOW,
      FIELD(prefetch_window), "Seconds forecasts look ahead, 5 to 30" },
    { "learn", "bool", visit_bool, TIDEMARK_CONFIG_LEARN, FIELD(learn),
      "Keep a profile, and forecast from it" },
    { "predictors", "TieredMemoryPredictorList", visit_predictors, TIDEMARK_CONFIG_PREDICTORS,
      FIELD(predictors), "What may bring pages in: streams, successors, phases, network" },
    { "reclaim-slowdown", "uint32", visit_uint32, TIDEMARK_CONFIG_RECLAIM_SLOWDOWN,
      FIELD(reclaim_slowdown),
      "Per mille of its time that the guest may lose to pages that left DRAM although there was"
      " room" },
};

bool tiered_configure(TieredBackend *tb, const struct tidemark_config *config, uint32_t mask,
                      Error **errp)
{
    char msg[TIERED_MSG_SIZE] = "";
    sigset_t saved;
    int ret;

    /* Before creation there is nobody to ask: tidemark_backend_create() checks the values. */
    if (tb->host) {
        tiered_block_signals(&saved); /* a limit cut below the size arms the block */
        ret = tidemark_backend_configure(tb->engine_backend, config, mask, msg, sizeof(msg));
        tiered_restore_signals(&saved);
        trace_tiered_memory_configure(tb->id, mask, ret);
        if (!tiered_succeeded(tb, ret, msg, errp)) {
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        const Setting *s = &settings[i];

        if (mask & s->mask) {
            memcpy((char *)&tb->config + s->offset, (const char *)config + s->offset, s->size);
        }
    }
    return true;
}

static void get_setting(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    const Setting *s = opaque;
    struct tidemark_config config = MEMORY_BACKEND_TIERED(obj)->config;

    s->visit(v, name, (char *)&config + s->offset, errp);
}

static void set_setting(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    const Setting *s = opaque;
    TieredBackend *tb = MEMORY_BACKEND_TIERED(obj);
    struct tidemark_config config = tb->config;

    if (!s->visit(v, name, (char *)&config + s->offset, errp)) {
        return;
    }
    /* A limit of 0 stands for "not given". */
    if (s->mask == TIDEMARK_CONFIG_DRAM_LIMIT && !config.dram_limit) {
        error_setg(errp, "property 'dram-limit' of memory-backend-tiered is 0;"
                   " 16M up to the size is accepted");
        return;
    }
    tiered_configure(tb, &config, s->mask, errp);
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
        "Storage tiers below DRAM, fastest first: path, class (nvme or qlc), capacity,"
        " write-budget");
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        const Setting *s = &settings[i];

        object_class_property_add(oc, s->name, s->type, get_setting, set_setting, NULL,
                                  (void *)s);
        object_class_property_set_description(oc, s->name, s->description);
    }
    object_class_property_add_bool(oc, "hugetlb", get_hugetlb, set_hugetlb);
    object_class_property_set_description(oc, "hugetlb", "Only 'off' is accepted");
    object_class_property_add_str(oc, "group", get_group, set_group);
    object_class_property_set_description(oc, "group", "UUID of the affinity group");
}
