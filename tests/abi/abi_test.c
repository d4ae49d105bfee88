/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header is C, the library answers through it, and every refusal is the sentence it should be. */
#include "tidemark.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int holds, const char *what)
{
    printf("%s: %s\n", holds ? "ok" : "FAILED", what);
    failures += !holds;
}

static struct tidemark_backend_options good_options(void)
{
    struct tidemark_backend_options o;
    tidemark_backend_options_init(&o);
    o.id = "ram0";
    o.block_size = 64ull << 20;
    o.config.dram_limit = 32ull << 20;
    o.tier_count = 1;
    o.tiers[0].path = "/var/tmp";
    o.tiers[0].tier_class = TIDEMARK_TIER_NVME;
    o.tiers[0].capacity = 64ull << 20;
    return o;
}

static tidemark_engine *engine;

static void refused(struct tidemark_backend_options o, int error, const char *sentence)
{
    char msg[512] = "";
    tidemark_backend *backend = NULL;
    int rc = tidemark_backend_create(engine, &o, &backend, msg, sizeof(msg));
    int right = rc == -error && strstr(msg, sentence) != NULL;
    if (!right)
        printf("  got %d \"%s\"\n", rc, msg);
    expect(right, sentence);
    tidemark_backend_destroy(backend);
}

int main(void)
{
    struct tidemark_engine_options eo;
    tidemark_engine_options_init(&eo);
    expect(tidemark_engine_create(&eo, &engine, NULL, 0) == 0, "an engine is made");
    expect(strchr(tidemark_version(), '.') != NULL, "the version has a dot");

    struct tidemark_backend_options o = good_options();
    char msg[8] = "";
    tidemark_backend *backend = NULL;
    expect(tidemark_backend_create(engine, &o, &backend, msg, sizeof(msg)) == 0, "a backend is made");
    expect(tidemark_engine_destroy(engine) == -EBUSY, "an engine with backends stays");
    expect(tidemark_backend_discard(backend, 0, 4096) == -ENOTCONN, "no discard before attach");
    tidemark_writes *writes = NULL;
    expect(tidemark_writes_create(0, &writes) == 0 &&
               tidemark_backend_note_writes(backend, writes, 0) == -ENOTCONN,
           "no writes are noted before attach");
    tidemark_writes_destroy(writes);
    struct tidemark_prefetch_terms terms;
    const struct tidemark_range range = { 1, 4096 };
    tidemark_prefetch_terms_init(&terms);
    expect(tidemark_backend_prefetch(backend, &range, 1, &terms, NULL, msg, sizeof(msg)) == -EINVAL &&
               msg[sizeof(msg) - 1] == '\0', "a message is cut to its buffer");
    terms.confidence = 0;
    expect(tidemark_backend_prefetch(backend, &range, 1, &terms, NULL, NULL, 0) == -EINVAL,
           "an order without confidence is refused");
    expect(tidemark_backend_prefetch_cancel(backend, 0) == -ENOTCONN, "nothing to cancel before attach");
    tidemark_backend_destroy(backend);

    o = good_options();
    o.size = 8;
    refused(o, EINVAL, "of different versions");
    o = good_options();
    o.tier_count = 0;
    refused(o, EINVAL, "tiers is empty");
    o = good_options();
    o.tiers[0].path = "/nonexistent/dir/file";
    refused(o, ENOENT, "/nonexistent/dir");
    o = good_options();
    o.tiers[0].path = "/etc/passwd";
    refused(o, EEXIST, "/etc/passwd");
    o = good_options();
    o.tiers[0].capacity = 1ull << 20;
    refused(o, EINVAL, "raise a tier's capacity or dram-limit");
    o = good_options();
    o.tiers[0].capacity = 5000;
    refused(o, EINVAL, "must be a multiple of 1 MiB");
    o = good_options();
    o.config.dram_limit = 4096;
    refused(o, EINVAL, "it must be at least 16 MiB");
    o = good_options();
    o.config.dram_limit = (32ull << 20) + 1;
    refused(o, EINVAL, "it must be a multiple of 4096");
    o = good_options();
    o.config.cold_age = 0;
    refused(o, EINVAL, "cold-age is 0 s; it must be between 1 and 172800");
    o = good_options();
    o.config.prefetch_window = 4000;
    refused(o, EINVAL, "prefetch-window is 4000 s");
    o = good_options();
    o.config.predictors = 1u << TIDEMARK_ORIGIN_GUEST;
    refused(o, EINVAL, "predictors names one that there is not");
    o = good_options();
    o.config.reclaim_slowdown = 501;
    refused(o, EINVAL, "reclaim-slowdown is 501 per mille");
    o = good_options();
    o.group = "web";
    refused(o, EINVAL, "it must be a UUID");
    o = good_options();
    o.block_size = 4097;
    refused(o, EINVAL, "size is 4097 bytes");

    expect(tidemark_engine_destroy(engine) == 0, "an empty engine goes");
    return failures != 0;
}
