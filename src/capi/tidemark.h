/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark.h - the C interface of libtidemark, the tiered guest memory engine.
 *
 * One engine per process; one backend per block of guest RAM (a QEMU RAMBlock).
 *
 * Conventions
 *  - Every function that can fail returns 0 or -errno. Where it takes (msg, msg_size) it also writes
 *    one sentence, NUL-terminated, saying what is wrong and what would be accepted. msg may be NULL.
 *  - No function throws. No function calls back into the caller while it holds an engine lock.
 *  - Offsets and lengths are bytes inside the block and multiples of 4096 unless said otherwise.
 *  - Times are seconds unless the name says otherwise; counters never go down while a backend lives.
 *  - Structs that may grow start with `size`: set it to sizeof(struct) before the call. Fields that
 *    an older library does not know are left untouched.
 */
#ifndef TIDEMARK_H
#define TIDEMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TIDEMARK_NOEXCEPT noexcept
extern "C" {
#else
#define TIDEMARK_NOEXCEPT
#endif

#define TIDEMARK_PAGE_SIZE 4096u
#define TIDEMARK_MAX_TIERS 8u
/* Log-linear latency histogram: bucket b counts latencies in [2^(b/4), 2^((b+1)/4)) * 250 ns. */
#define TIDEMARK_LATENCY_BUCKETS 80u
/* Write-size histogram: bucket b counts writes of [2^b, 2^(b+1)) * 4 KiB. */
#define TIDEMARK_WRITE_SIZE_BUCKETS 12u

typedef struct tidemark_engine tidemark_engine;
typedef struct tidemark_backend tidemark_backend;

enum tidemark_tier_class {
    TIDEMARK_TIER_DRAM = 0, /* only as a prefetch target */
    TIDEMARK_TIER_NVME = 1, /* fast flash: takes pages of any size, answers most faults */
    TIDEMARK_TIER_QLC = 2,  /* dense flash: written only in large sequential pieces */
};

enum tidemark_policy {
    TIDEMARK_POLICY_LRU = 0,  /* the page whose last seen access is oldest leaves first */
    TIDEMARK_POLICY_LFU = 1,  /* the page with the fewest (decayed) seen accesses leaves first */
    TIDEMARK_POLICY_FIFO = 2, /* the page that came into DRAM first leaves first */
};

enum tidemark_log_level { TIDEMARK_LOG_INFO = 0, TIDEMARK_LOG_WARN = 1, TIDEMARK_LOG_ERROR = 2 };

enum tidemark_event_kind {
    /* A page could not be read back (I/O error or checksum mismatch) after all retries. Accesses to
     * it are held until tidemark_backend_resolve(). offset, tier, error (errno; EBADMSG = checksum). */
    TIDEMARK_EVENT_PAGE_HELD = 0,
    /* A held page was resolved. offset; error = 0 read back, EHWPOISON given up. */
    TIDEMARK_EVENT_PAGE_RESOLVED = 1,
    /* A tier failed a write: it takes no new pages until it recovers. tier, error. */
    TIDEMARK_EVENT_TIER_DEGRADED = 2,
    /* A degraded tier accepted a write again. tier. */
    TIDEMARK_EVENT_TIER_RECOVERED = 3,
    /* DRAM is at its limit and nothing can leave it (every tier full or degraded). */
    TIDEMARK_EVENT_PRESSURE = 4,
};

struct tidemark_event {
    enum tidemark_event_kind kind;
    uint32_t tier;   /* index in the backend's tier list */
    uint64_t offset; /* byte offset in the block */
    int32_t error;   /* positive errno, 0 if none */
};

/* Called from an engine thread with no engine lock held; must not block and must not touch guest RAM. */
typedef void tidemark_event_fn(void *opaque, const struct tidemark_event *event);
typedef void tidemark_log_fn(void *opaque, enum tidemark_log_level level, const char *sentence);

struct tidemark_engine_options {
    size_t size;
    tidemark_log_fn *log; /* may be NULL */
    void *log_opaque;
};

struct tidemark_tier_options {
    /* a directory (an unlinked file is made in it), a file (created 0600, unlinked at once; it must
     * not exist) or a block device (used whole) */
    const char *path;
    enum tidemark_tier_class tier_class; /* NVME or QLC */
    uint64_t capacity;                   /* bytes, multiple of 1 MiB; 0 = the device's own size */
    /* bytes a day, counted from attach; 0 = no bound. Once so much has been written, nothing more is written
     * that could as well stay where it is (proactive reclaim, demotion). What has to leave DRAM leaves. */
    uint64_t write_budget;
};

/* Who has pages brought into DRAM that nobody has asked for yet. */
enum tidemark_origin {
    TIDEMARK_ORIGIN_GUEST = 0,      /* nobody: the guest asked */
    TIDEMARK_ORIGIN_STREAMS = 1,    /* read ahead of a walk, in order or in strides */
    TIDEMARK_ORIGIN_SUCCESSORS = 2, /* an order that came again */
    TIDEMARK_ORIGIN_RECORD = 3,     /* a recorded working set, replayed */
    TIDEMARK_ORIGIN_REQUEST = 4,    /* tidemark_backend_prefetch() */
    TIDEMARK_ORIGIN_PHASES = 5,     /* a working set that returns */
    TIDEMARK_ORIGIN_NETWORK = 6,    /* the recurrent network's forecast */
};
#define TIDEMARK_ORIGINS 7u

enum tidemark_config_mask {
    TIDEMARK_CONFIG_DRAM_LIMIT = 1 << 0,
    TIDEMARK_CONFIG_POLICY = 1 << 1,
    TIDEMARK_CONFIG_COLD_AGE = 1 << 2,
    TIDEMARK_CONFIG_PREFETCH = 1 << 3,
    TIDEMARK_CONFIG_PREFETCH_WINDOW = 1 << 4,
    TIDEMARK_CONFIG_LEARN = 1 << 5,
    TIDEMARK_CONFIG_PREDICTORS = 1 << 6,
    TIDEMARK_CONFIG_RECLAIM_SLOWDOWN = 1 << 7,
};

/* What can change while the guest runs. */
struct tidemark_config {
    size_t size;
    uint64_t dram_limit; /* bytes, >= 16 MiB or the block's size, whichever is less */
    enum tidemark_policy policy;
    /* 1 .. 172800: seconds after which a page that is not used leaves DRAM although there is room, and after
     * as many again NVMe for QLC; default 120 */
    uint32_t cold_age;
    bool prefetch; /* by the predictors; default true */
    /* seconds, 1 .. 3600, that forecasts look ahead; they can look 5 to 30 s ahead: less counts as 5, more as 30.
     * Default 10 */
    uint32_t prefetch_window;
    bool learn;          /* keep a profile, and forecast from it; default true */
    uint32_t predictors; /* bit per tidemark_origin that may prefetch; the default is
                               * tidemark_default_predictors() */
    /* per mille, 0 .. 500: the share of time that the guest may lose to pages that left although there was room;
     * 0 = none leaves so. Only blocks that are armed. Default 20 */
    uint32_t reclaim_slowdown;
};

struct tidemark_range {
    uint64_t offset, length; /* bytes, multiples of 4096 */
};

struct tidemark_prefetch_terms {
    size_t size;
    enum tidemark_tier_class target; /* DRAM, or NVME: from QLC up */
    /* 0 .. 1: the share of the pages that will be used. Weighed against what would have to leave DRAM; pages
     * below 0.5 are not mapped but wait where their first use is seen */
    double confidence;
    uint32_t deadline_ms; /* of no use after so long; 0 = whenever */
};

struct tidemark_backend_options {
    size_t size;
    const char *id;      /* name used in messages */
    uint64_t block_size; /* bytes of guest RAM, multiple of 4096 */
    uint32_t tier_count;
    struct tidemark_tier_options tiers[TIDEMARK_MAX_TIERS];
    struct tidemark_config config;
    const char *group; /* UUID of the affinity group, or NULL */
    tidemark_event_fn *event;
    void *event_opaque;
};

struct tidemark_tier_stats {
    enum tidemark_tier_class tier_class;
    bool degraded;
    bool direct_io; /* O_DIRECT is in use */
    uint64_t capacity;
    uint64_t used;  /* bytes in slots that hold a copy of a page */
    uint64_t pages; /* pages whose only copy is here */
    uint64_t read_bytes;
    uint64_t written_bytes;
    uint64_t read_errors;
    uint64_t write_errors;
    uint64_t checksum_errors;
    uint64_t write_sizes[TIDEMARK_WRITE_SIZE_BUCKETS];
};

struct tidemark_stats {
    size_t size;
    struct tidemark_config config;
    uint64_t block_size;
    bool armed; /* the block is registered with userfaultfd: some page left or may leave DRAM */
    uint64_t dram_used;  /* bytes: resident + staged + in flight */
    uint64_t dram_slack; /* bytes by which dram_used may pass the limit for a moment */
    uint64_t metadata_bytes;
    /* pages by state; they add up to block_size / 4096 */
    uint64_t untouched, zero, resident, staged, stored, arrived, in_transit, held, poisoned, remote;
    uint64_t remote_waits; /* accesses that wait for remote pages */
    /* counters */
    uint64_t faults;           /* all faults served */
    uint64_t faults_untouched; /* first touch or zero page */
    uint64_t faults_staged;    /* refault of a staged page, no I/O */
    uint64_t faults_stored;    /* read from a tier on demand */
    uint64_t faults_arrived;   /* read ahead in time: no I/O, 2 MiB mapped at once */
    uint64_t faults_parked;    /* had to wait for DRAM */
    uint64_t faults_remote;    /* on a page at another host */
    uint64_t remote_wait_ns;   /* that those waited for it, in all */
    uint64_t delivered_pages;  /* that came from there, once they were remote */
    uint64_t refaults; /* faults on a page that had been evicted (staged + stored + arrived) */
    uint64_t readahead_pages, readahead_used;
    uint64_t prefetch_pages; /* by orders, not on faults */
    /* pages by who had them brought in; indexed by tidemark_origin */
    uint64_t prefetch_issued[TIDEMARK_ORIGINS]; /* reads begun */
    uint64_t prefetch_used[TIDEMARK_ORIGINS];   /* known to have been used */
    uint64_t prefetch_late[TIDEMARK_ORIGINS];   /* the guest came while they were being read */
    uint64_t prefetch_wasted[TIDEMARK_ORIGINS]; /* left DRAM, and a use would have been seen */
    uint64_t prefetch_declined;         /* pages not brought: no gain, too late, or no room */
    uint64_t prefetch_queued;           /* pages ordered and not yet brought, in each order */
    uint64_t evicted_pages;             /* left DRAM */
    uint64_t zero_elided, clean_elided; /* left DRAM without a write */
    uint64_t huge_moves;                /* of 2 MiB that left the block as one huge page */
    uint64_t promoted_pages, demoted_pages;
    uint64_t discarded_pages;
    uint64_t move_busy; /* pages that could not be unmapped because they were pinned */
    uint64_t latency[TIDEMARK_LATENCY_BUCKETS]; /* fault read to page mapped */
    uint32_t tier_count;
    struct tidemark_tier_stats tiers[TIDEMARK_MAX_TIERS];
};

enum tidemark_workload {
    TIDEMARK_WORKLOAD_UNKNOWN = 0,
    TIDEMARK_WORKLOAD_DATABASE = 1, /* a skewed working set, written */
    TIDEMARK_WORKLOAD_WEB = 2,      /* a skewed working set, mostly read */
    TIDEMARK_WORKLOAD_BATCH = 3,    /* passes in order */
    TIDEMARK_WORKLOAD_IDLE = 4,
};

#define TIDEMARK_HEAT_CELLS 64u

#define TIDEMARK_SKETCH_VALUES 256

/* How a guest uses its memory, as far as it shows: resident pages raise no faults. src/profile/README.md says how
 * each figure comes about. Shares are 0 .. 1, rates per second, decayed over some minutes. */
struct tidemark_profile {
    size_t size;
    double seconds; /* that this is about, since attach */
    bool watching;  /* false: the block is not armed, nothing is seen */
    uint64_t lost_accesses;
    struct tidemark_working_set {
        uint32_t window;   /* seconds */
        uint64_t seen;     /* bytes seen used in it */
        uint64_t estimate; /* with what is likely among those that nothing is seen of */
        uint64_t untested; /* bytes that nothing is known of either way */
    } working_set[3];
    struct tidemark_cold_set {
        uint32_t age;    /* seconds without a use seen */
        uint64_t bytes;  /* of DRAM */
        uint64_t tested; /* of these: where pages on probation were not used either */
    } cold[3];
    double used_pages_per_second;
    double written_pages_per_second; /* 0 if not writes_known */
    bool writes_known;               /* tidemark_backend_note_writes() was called of late */
    double write_share;              /* of faults */
    double locality;                 /* of uses: near one of the last */
    double in_order;                 /* of uses: where a walk led */
    double waits_per_second, refaults_per_second;
    struct tidemark_more_dram { /* what more DRAM would have saved */
        uint64_t bytes;
        double saved_waits, saved_refaults; /* share of them */
    } more_dram[7];
    uint32_t phase, phases; /* the present one, from 1; how many different ones */
    uint64_t phase_changes;
    double phase_seconds; /* since the last change */
    enum tidemark_workload workload;
    double workload_confidence;
    bool workload_labelled; /* told by tidemark_backend_set_workload() */
    uint32_t heat_cells;    /* equal pieces of the block, from its start, the last may be shorter */
    uint64_t heat_cell_bytes;
    float heat[TIDEMARK_HEAT_CELLS]; /* pages seen used, decayed */
    /* Forecasts, by tidemark_origin, and how they fared whether or not they were acted on. All 0 for an origin
     * that forecasts nothing. */
    struct tidemark_forecaster {
        bool on, earning; /* earning: it may have pages brought in; else only few, to try */
        uint64_t expected, ordered;  /* pages */
        uint64_t used, late, wasted; /* pages, of those that could be judged */
        double surely;               /* the share that is surely used in time */
        uint32_t horizon;            /* seconds it looks ahead; 0: as far as it goes each time */
    } forecasters[TIDEMARK_ORIGINS];
    uint64_t learner_bytes;     /* of memory for all of this */
    double learner_cpu_seconds; /* spent on it */
    double reclaim_slowdown;    /* share of time lost to pages that had left, of late */
};

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* "MAJOR.MINOR.PATCH" of the library. */
const char *tidemark_version(void) TIDEMARK_NOEXCEPT;

/* Fill a struct with the defaults (its size field included). */
void tidemark_engine_options_init(struct tidemark_engine_options *options) TIDEMARK_NOEXCEPT;
void tidemark_backend_options_init(struct tidemark_backend_options *options) TIDEMARK_NOEXCEPT;
void tidemark_prefetch_terms_init(struct tidemark_prefetch_terms *terms) TIDEMARK_NOEXCEPT;
/* The predictors that are on unless told otherwise: bits as in tidemark_config. */
uint32_t tidemark_default_predictors(void) TIDEMARK_NOEXCEPT;

int tidemark_engine_create(const struct tidemark_engine_options *options, tidemark_engine **engine,
                           char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
/* Every backend must have been destroyed before (-EBUSY otherwise). */
int tidemark_engine_destroy(tidemark_engine *engine) TIDEMARK_NOEXCEPT;

/* Checks the options, opens the tiers, probes userfaultfd. Touches no guest memory yet. */
int tidemark_backend_create(tidemark_engine *engine, const struct tidemark_backend_options *options,
                            tidemark_backend **backend, char *msg,
                            size_t msg_size) TIDEMARK_NOEXCEPT;
/* Takes over [host, host + block_size): private anonymous memory, page aligned, not mlocked. If
 * dram_limit < block_size the block is armed at once, else only when the limit is cut below it. */
int tidemark_backend_attach(tidemark_backend *backend, void *host, char *msg,
                            size_t msg_size) TIDEMARK_NOEXCEPT;
/* Stops all work and releases tiers and shadow mapping. The guest must no longer touch the block: its
 * content is lost. The caller unmaps the block afterwards. Accepts NULL. */
void tidemark_backend_destroy(tidemark_backend *backend) TIDEMARK_NOEXCEPT;

/* Changes the fields named in mask; all or nothing. Does not wait until a lower limit is reached. */
int tidemark_backend_configure(tidemark_backend *backend, const struct tidemark_config *config,
                               uint32_t mask, char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
int tidemark_backend_query(tidemark_backend *backend,
                           struct tidemark_stats *stats) TIDEMARK_NOEXCEPT;

/* Orders pages to be brought in, in this order; all or nothing. Bounded: -EAGAIN if too much is queued. Below
 * demand reads; most confident orders first; what does not pay is not done. *ticket (ticket may be NULL) cancels
 * it. */
int tidemark_backend_prefetch(tidemark_backend *backend, const struct tidemark_range *ranges,
                              size_t count, const struct tidemark_prefetch_terms *terms,
                              uint64_t *ticket, char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
/* ticket 0: all orders. Returns how many pages will not be brought, or -errno. */
int64_t tidemark_backend_prefetch_cancel(tidemark_backend *backend,
                                         uint64_t ticket) TIDEMARK_NOEXCEPT;

/* A working set: the pages that come into DRAM from record_start() on, in the order of first use, and of those in DRAM
 * already the ones that are used: each is put on probation once, which costs the guest reclaim_slowdown of its time at
 * most (2 % if that is 0), and nothing while it is short of DRAM, when all of it is turned over anyway. record_save()
 * ends the recording and writes it to `path` (replaced as a whole; NULL: it is thrown away); *pages says how many
 * they are. -EALREADY if one is being recorded already, -ENODATA if none is. */
int tidemark_backend_record_start(tidemark_backend *backend, char *msg,
                                  size_t msg_size) TIDEMARK_NOEXCEPT;
int tidemark_backend_record_save(tidemark_backend *backend, const char *path, uint64_t *pages,
                                 char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
/* Queues a prefetch to DRAM of the pages recorded in `path`, in that order; *pages says how many they are.
 * -EINVAL if the file is damaged, of another version, or of a block of another size. */
int tidemark_backend_replay(tidemark_backend *backend, const char *path, uint64_t *pages, char *msg,
                            size_t msg_size) TIDEMARK_NOEXCEPT;

/* -ENODATA while nothing is learnt (config.learn off, or before attach). */
int tidemark_backend_profile(tidemark_backend *backend,
                             struct tidemark_profile *profile) TIDEMARK_NOEXCEPT;
/* What its pages contain, for comparison with another backend: the smallest of their checksums, ascending. Writes
 * *count of them, TIDEMARK_SKETCH_VALUES at most; *pages says how many pages have one (those with a copy in a tier). */
int tidemark_backend_sketch(tidemark_backend *backend, uint64_t *values, size_t *count,
                            uint64_t *pages) TIDEMARK_NOEXCEPT;
/* Says what the guest does, whatever its profile looks like; UNKNOWN takes that back. */
int tidemark_backend_set_workload(tidemark_backend *backend,
                                  enum tidemark_workload workload) TIDEMARK_NOEXCEPT;
/* What the predictors have learnt, to and from a file (checksummed, versioned; replaced as a whole). Blocks must
 * be of one size. -EINVAL with a sentence if the file is damaged or of another version or size: then nothing
 * changes. -ENODATA while nothing is learnt. */
int tidemark_backend_learned_save(tidemark_backend *backend, const char *path, char *msg,
                                  size_t msg_size) TIDEMARK_NOEXCEPT;
int tidemark_backend_learned_load(tidemark_backend *backend, const char *path, char *msg,
                                  size_t msg_size) TIDEMARK_NOEXCEPT;

/* The range's content is given up (balloon, free page reporting, virtio-mem): DRAM and tier copies
 * are dropped, the next read gives zeros. Returns when done. -ENOTCONN before attach. */
int tidemark_backend_discard(tidemark_backend *backend, uint64_t offset,
                             uint64_t length) TIDEMARK_NOEXCEPT;

/* Copies bytes out without promoting anything to DRAM or touching the heat (migration, dump). Any
 * offset and length inside one page or more. -EIO / -EBADMSG if a page can't be read back.
 * The guest may write resident pages meanwhile, as with any read of live guest RAM. */
int tidemark_backend_read(tidemark_backend *backend, uint64_t offset, void *buffer,
                          uint64_t length) TIDEMARK_NOEXCEPT;
/* True if the page at offset is known to be all zero without looking at its bytes. */
bool tidemark_backend_is_zero(tidemark_backend *backend, uint64_t offset) TIDEMARK_NOEXCEPT;

/* Held pages. retry: read them again (accesses stay held if it fails again, with a new event);
 * otherwise give them up: the guest gets a memory error (SIGBUS BUS_MCEERR_AR in the process).
 * length 0 = all held pages of the block. Returns the number of pages acted on, or -errno. */
int64_t tidemark_backend_resolve(tidemark_backend *backend, uint64_t offset, uint64_t length,
                                 bool retry) TIDEMARK_NOEXCEPT;
/* True while thread tid (gettid()) is blocked by a held page of any backend of the engine. */
bool tidemark_engine_thread_held(tidemark_engine *engine, int32_t tid) TIDEMARK_NOEXCEPT;
/* Number of held pages in all backends of the engine. */
uint64_t tidemark_engine_held_pages(tidemark_engine *engine) TIDEMARK_NOEXCEPT;

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#include "tidemark_migrate.h"
#include "tidemark_place.h"
#include "tidemark_postcopy.h"
#include "tidemark_reader.h"

#endif
