/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the file that says how this VM's memory is tiered.
 *
 * No file, or no -uuid (as when a management layer probes what QEMU can do): nothing is decided.
 * A file that can't be used stops the start: the guest would otherwise take all its memory
 * from DRAM that the host has promised to others.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "qemu/uuid.h"
#include "qobject/qbool.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "system/system.h"

#include "hostmem-tiered.h"
#include "tiered-domain.h"

#define RUN_DIRECTORY "/run/tidemark"
#define MAX_FILE_SIZE (1 * MiB)

static char *domain_path(void)
{
    const char *run = getenv("TIDEMARK_RUN");
    g_autofree char *uuid = qemu_uuid_unparse_strdup(&qemu_uuid);

    return g_strdup_printf("%s/domains/%s.json", run && *run ? run : RUN_DIRECTORY, uuid);
}

/* NULL without an error if there is no such file. */
static char *read_file(const char *path, Error **errp)
{
    g_autoptr(GError) problem = NULL;
    g_autofree char *text = NULL;
    gsize length;
    struct stat st;

    if (stat(path, &st) < 0) {
        if (errno != ENOENT && errno != ENOTDIR) {
            error_setg_errno(errp, errno, "it cannot be looked up");
        }
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        error_setg(errp, "it is not a regular file");
        return NULL;
    }
    if (st.st_size > MAX_FILE_SIZE) {
        error_setg(errp, "it has %" PRIu64 " bytes; at most %" PRIu64 " are accepted",
                   (uint64_t)st.st_size, (uint64_t)MAX_FILE_SIZE);
        return NULL;
    }
    if (!g_file_get_contents(path, &text, &length, &problem)) {
        error_setg(errp, "it cannot be read: %s", problem->message);
        return NULL;
    }
    if (strlen(text) != length) {
        error_setg(errp, "it is not a text file");
        return NULL;
    }
    return g_steal_pointer(&text);
}

static bool get_bytes(const QDict *config, const char *key, uint64_t *value, Error **errp)
{
    QNum *number = qobject_to(QNum, qdict_get(config, key));

    if (!number || !qnum_get_try_uint(number, value) || !*value) {
        error_setg(errp, "'%s' is not a positive number of bytes", key);
        return false;
    }
    return true;
}

static bool check_identity(const QDict *config, Error **errp)
{
    const char *uuid = qdict_get_try_str(config, "uuid");
    int64_t version = qdict_get_try_int(config, "version", -1);
    QemuUUID owner;

    if (version != TIERED_DOMAIN_VERSION) {
        error_setg(errp, "its 'version' is not %d, the only one this QEMU reads: QEMU and the"
                   " libvirt hook must come from the same release", TIERED_DOMAIN_VERSION);
        return false;
    }
    if (!uuid || qemu_uuid_parse(uuid, &owner) < 0 || !qemu_uuid_is_equal(&owner, &qemu_uuid)) {
        error_setg(errp, "its 'uuid' is '%s', which is not this VM's", uuid ?: "");
        return false;
    }
    return true;
}

static bool check_tiers(const QDict *config, Error **errp)
{
    const QList *tiers = qobject_to(QList, qdict_get(config, "tiers"));
    const QListEntry *entry;

    if (!tiers || qlist_empty(tiers)) {
        error_setg(errp, "'tiers' is not a list of at least one tier");
        return false;
    }
    QLIST_FOREACH_ENTRY(tiers, entry) {
        QDict *tier = qobject_to(QDict, qlist_entry_obj(entry));

        if (!tier || !qdict_get_try_str(tier, "path") || !qdict_get_try_str(tier, "class")) {
            error_setg(errp, "an element of 'tiers' has no 'path' or no 'class'");
            return false;
        }
    }
    return true;
}

static bool check_monitor(const QDict *config, const char **path, Error **errp)
{
    struct sockaddr_un address;

    if (!qdict_haskey(config, "qmp")) {
        return true;
    }
    *path = qdict_get_try_str(config, "qmp");
    if (!*path || !**path || strlen(*path) >= sizeof(address.sun_path)) {
        error_setg(errp, "'qmp' is not the path of a socket (1 to %zu characters)",
                   sizeof(address.sun_path) - 1);
        return false;
    }
    return true;
}

static bool check_learn_writes(const QDict *config, bool *learn, Error **errp)
{
    QBool *value = qobject_to(QBool, qdict_get(config, "learn-writes"));

    if (!value && qdict_haskey(config, "learn-writes")) {
        error_setg(errp, "'learn-writes' is neither true nor false");
        return false;
    }
    *learn = value && qbool_get_bool(value);
    return true;
}

static bool parse(TieredDomain *domain, const char *text, Error **errp)
{
    ERRP_GUARD();
    QObject *value = qobject_from_json(text, errp);

    if (!value) {
        error_prepend(errp, "it is not JSON: ");
        return false;
    }
    domain->config = qobject_to(QDict, value);
    if (!domain->config) {
        qobject_unref(value);
        error_setg(errp, "it is not a JSON object");
        return false;
    }
    return check_identity(domain->config, errp) &&
           get_bytes(domain->config, "memory", &domain->memory, errp) &&
           get_bytes(domain->config, "dram-limit", &domain->dram_limit, errp) &&
           check_tiers(domain->config, errp) &&
           check_learn_writes(domain->config, &domain->learn_writes, errp) &&
           check_monitor(domain->config, &domain->monitor, errp);
}

bool tiered_domain_get(const TieredDomain **domain, Error **errp)
{
    ERRP_GUARD();
    static TieredDomain ours;
    static bool done;

    if (!done && qemu_uuid_set) {
        g_autofree char *path = domain_path();
        g_autofree char *text = read_file(path, errp);

        if (*errp || (text && !parse(&ours, text, errp))) {
            qobject_unref(ours.config);
            ours.config = NULL;
            error_prepend(errp, "cannot use %s, which says how this VM's memory is tiered: ",
                          path);
            return false;
        }
        ours.path = g_steal_pointer(&path);
        done = true;
    }
    *domain = ours.config ? &ours : NULL;
    return true;
}
