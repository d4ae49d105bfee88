/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark_migrate.h - which pages a guest writes and when, and the plan of a precopy made from that. Part of
 * tidemark.h, which includes it; same conventions. Works for any guest RAM, tiered or not.
 *
 * The learner is told what every look at the dirty log finds, from before a migration is asked for. The precopy
 * asks it which page to send next. The dirty bitmap of the migration stays the truth: a page that the plan defers
 * is a bit left set. All times are nanoseconds of one monotonic clock of the caller.
 *
 * Every call on one tidemark_writes takes its lock for a moment and calls nobody: any thread, under any lock of
 * the caller's. A look (begin .. end) is one thread's at a time. A call that is out of turn changes nothing.
 *
 * Memory: 4 bytes per guest page while learning, and 300 KiB; during a precopy 1.6 bytes more per page, and 16 per
 * page of those stripes of 64 pages of which hashes are kept: less than 18 in all.
 */
#ifndef TIDEMARK_MIGRATE_H
#define TIDEMARK_MIGRATE_H

#ifndef TIDEMARK_H
#error "include tidemark.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TIDEMARK_WRITES_BLOCKS 64u

typedef struct tidemark_writes tidemark_writes;

struct tidemark_page_name {
    uint64_t page; /* of the block, from 0 */
    uint32_t block;
    uint32_t reserved;
};

struct tidemark_precopy_terms {
    size_t size;
    bool observe_only;          /* predict and report, but let every page be sent as it comes */
    uint64_t downtime_limit_ns; /* the user's */
    uint64_t bandwidth;         /* bytes a second that the link is thought to carry; 0 = unknown */
};

enum tidemark_precopy_step {
    /* More pages are eligible now: search again from the start of every block. */
    TIDEMARK_PRECOPY_MORE = 0,
    /* Before more pages are let in, what has been written since the last sync should be known: sync. */
    TIDEMARK_PRECOPY_SYNC = 1,
    /* What is left would be written again before the switch-over. Nothing to send until the sync that
     * tidemark_precopy_sync_in() asks for; if it is few enough, the switch-over. */
    TIDEMARK_PRECOPY_WAIT = 2,
};

enum tidemark_precopy_outcome {
    TIDEMARK_PRECOPY_COMPLETED = 0,
    TIDEMARK_PRECOPY_FAILED = 1,   /* or cancelled */
    TIDEMARK_PRECOPY_POSTCOPY = 2, /* the rest is sent after the switch-over */
};

struct tidemark_writes_stats {
    size_t size;
    uint64_t pages;                  /* in all blocks */
    uint64_t memory_bytes;           /* used for all of this */
    uint64_t looks;                  /* that counted */
    uint64_t period_ns;              /* wanted between two looks */
    uint64_t look_cost_ns;           /* of a look, of late */
    uint64_t learnt_ns;              /* time that the looks cover */
    double written_pages_per_second; /* found by the looks, of late; a page counts once a look */
    /* Pages by what is known of them. */
    uint64_t never_written;             /* since learning began */
    uint64_t hot;                       /* in every look of late */
    uint64_t regular;                   /* come again after about the same time */
    uint64_t silent;                    /* written with what they already hold */
    uint64_t hashes_taken, hashes_same; /* samples for silent stores */
    double sweep_seconds;               /* what most pages that come again take; 0 = no such time */
    /* The precopy that runs or ran last. */
    bool in_precopy, observe_only;
    uint64_t sent;     /* pages */
    uint64_t resent;   /* of these: not for the first time */
    uint64_t skipped;  /* found unchanged, not sent */
    uint64_t deferred; /* pages passed over at the last search through all blocks */
    uint64_t syncs;
    /* Of pages sent that the plan would have sent, and of those that it would have deferred: how many there were
     * and how many of them were written afterwards. Equal shares mean that the plan knows nothing. */
    uint64_t advised, advised_rewritten, advised_against, advised_against_rewritten;
};

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* One per guest. -ENOMEM. */
int tidemark_writes_create(uint64_t now_ns, tidemark_writes **writes) TIDEMARK_NOEXCEPT;
void tidemark_writes_destroy(tidemark_writes *writes) TIDEMARK_NOEXCEPT; /* accepts NULL */
/* A block of guest RAM that looks will be told of. -EEXIST, -EINVAL (index, no pages, or more than 2^32), -ENOMEM.
 * Removing one that is not there does nothing. */
int tidemark_writes_add_block(tidemark_writes *writes, uint32_t block,
                              uint64_t pages) TIDEMARK_NOEXCEPT;
void tidemark_writes_remove_block(tidemark_writes *writes, uint32_t block) TIDEMARK_NOEXCEPT;
int tidemark_writes_query(tidemark_writes *writes,
                          struct tidemark_writes_stats *stats) TIDEMARK_NOEXCEPT;

/* ---- Looks at the dirty log --------------------------------------------------------------------------- */

/* The dirty log was just switched on, or off and on again: what the next look finds says nothing about when it
 * was written (a fresh log may have all bits set), and is not counted. Also so for a block just added. */
void tidemark_writes_baseline(tidemark_writes *writes) TIDEMARK_NOEXCEPT;
/* A look begins: bits are about to be taken out of the log. */
void tidemark_writes_begin(tidemark_writes *writes, uint64_t now_ns) TIDEMARK_NOEXCEPT;
/* Pages written since the last look: bit i of bits stands for page first_page + i; first_page is a multiple of
 * 64. All bits that were taken out of the log, also of pages that wait for being sent anyway. */
void tidemark_writes_dirty(tidemark_writes *writes, uint32_t block, uint64_t first_page,
                           const unsigned long *bits, size_t words) TIDEMARK_NOEXCEPT;
/* The look is complete. Returns after how many ns the next one is wanted (100 ms .. 30 s; sometimes a short one
 * follows, to tell how hot the hot pages are), so that looking costs less than 1 % of the time. */
uint64_t tidemark_writes_end(tidemark_writes *writes, uint64_t now_ns) TIDEMARK_NOEXCEPT;

/* Tells a backend's profile what the last look found of a block that is this backend's memory, so that it knows of
 * writes that raise no fault. After tidemark_writes_end(), once a look. A look that did not count tells it nothing.
 * -ENOTCONN before attach. */
int tidemark_backend_note_writes(tidemark_backend *backend, tidemark_writes *writes,
                                 uint32_t block) TIDEMARK_NOEXCEPT;

/* ---- Silent stores: pages that are written with what they already hold ------------------------------------ */

/* After every look, those of a precopy's syncs included: names up to max pages whose bytes should be hashed, so that it shows whether writes change them.
 * The bytes are read from live memory: this is statistics, nothing is left out because of it. Don't promote a page
 * for it (skip those that left DRAM). Returns how many. */
size_t tidemark_writes_sample(tidemark_writes *writes, struct tidemark_page_name *pages,
                              size_t max) TIDEMARK_NOEXCEPT;
void tidemark_writes_hash(tidemark_writes *writes, uint32_t block, uint64_t page, uint64_t lo,
                          uint64_t hi) TIDEMARK_NOEXCEPT;
/* XXH3, 128 bits, of 4096 bytes, with a random seed of this tidemark_writes. Takes no lock. */
void tidemark_page_hash(const tidemark_writes *writes, const void *bytes, uint64_t *lo,
                        uint64_t *hi) TIDEMARK_NOEXCEPT;

/* ---- A precopy ------------------------------------------------------------------------------------------
 *
 *   begin
 *   each bitmap sync:  writes_begin, writes_dirty..., writes_end (of all bits taken), precopy_synced
 *   sending:           precopy_next finds a page; if no block has one, precopy_advance
 *   a page sent:       exactly one of sent, sent_copy, unchanged == true, for each bit cleared, sent or not
 *   end
 *
 * When to sync: when what is due (precopy_due of all blocks) would fit into the downtime, or when sync_in() is 0; no
 * oftener, and never because few pages are eligible. Switch over when, after a sync, what is due fits. After "wait",
 * sleep until sync_in() (at most 100 ms), and keep the last good bandwidth: nothing was sent meanwhile.
 *
 * The last stage (the guest is stopped), postcopy, mapped-ram and background snapshots don't search by the plan:
 * they send every bit that is set. wants_copy and unchanged hold in the last stage too, not in postcopy. */

void tidemark_precopy_terms_init(struct tidemark_precopy_terms *terms) TIDEMARK_NOEXCEPT;
/* -EALREADY if one runs; -EINVAL; -ENOMEM: then migrate without. */
int tidemark_precopy_begin(tidemark_writes *writes, const struct tidemark_precopy_terms *terms,
                           uint64_t now_ns, char *msg, size_t msg_size) TIDEMARK_NOEXCEPT;
/* With so many bytes left the migration would stop the guest, as it reckons at the moment. From then on that counts,
 * not the limit and the bandwidth: if the two differ, the plan may wait for an end that never comes. */
void tidemark_precopy_set_room(tidemark_writes *writes, uint64_t bytes) TIDEMARK_NOEXCEPT;
/* A bitmap sync is complete, and so is its look. bytes_per_second: the last good measurement of the link, 0 = none
 * yet; pages_left: bits set in all bitmaps. Makes the plan anew. */
void tidemark_precopy_synced(tidemark_writes *writes, uint64_t now_ns, uint64_t bytes_per_second,
                             uint64_t pages_left) TIDEMARK_NOEXCEPT;
/* After how many ns the plan wants a sync; 0 = now. Syncs that come earlier are fine. */
uint64_t tidemark_precopy_sync_in(tidemark_writes *writes, uint64_t now_ns) TIDEMARK_NOEXCEPT;

/* The first page >= from that is set in bitmap and eligible now, else pages. Without a precopy, or if it only
 * observes: the first page that is set. */
uint64_t tidemark_precopy_next(tidemark_writes *writes, uint32_t block, const unsigned long *bitmap,
                               uint64_t pages, uint64_t from) TIDEMARK_NOEXCEPT;
/* How many pages of the block are set and eligible now (without a plan: set). Reads the whole bitmap. */
uint64_t tidemark_precopy_eligible(tidemark_writes *writes, uint32_t block,
                                   const unsigned long *bitmap, uint64_t pages) TIDEMARK_NOEXCEPT;
/* How many pages of the block would have to be sent if the guest stopped now: those that are set, without silent
 * ones whose hash the destination is known to match. An expectation, not a promise: they are compared then. */
uint64_t tidemark_precopy_due(tidemark_writes *writes, uint32_t block, const unsigned long *bitmap,
                              uint64_t pages) TIDEMARK_NOEXCEPT;
/* No block has an eligible page: let the next class in. Order: pages never written, then by furthest next write,
 * those that are written all the time last. */
enum tidemark_precopy_step tidemark_precopy_advance(tidemark_writes *writes,
                                                    uint64_t now_ns) TIDEMARK_NOEXCEPT;

/* The page was sent, or the caller knows the destination to be right, from guest memory (bytes that may have
 * changed while they were read): no hash is known of what the destination has. */
void tidemark_precopy_sent(tidemark_writes *writes, uint32_t block, uint64_t page,
                           uint64_t now_ns) TIDEMARK_NOEXCEPT;
/* True: this page is likely to be written with what it holds. Clear its bits, copy it, hash the copy; if the hash
 * is unchanged() send nothing, else send the copy itself and tell sent_copy(). Never hash guest memory and send
 * guest memory: the bytes may differ, and the destination would be taken for right while it is not. */
bool tidemark_precopy_wants_copy(tidemark_writes *writes, uint32_t block,
                                 uint64_t page) TIDEMARK_NOEXCEPT;
/* True: the destination has these bytes since they were last sent; the page need not be sent. */
bool tidemark_precopy_unchanged(tidemark_writes *writes, uint32_t block, uint64_t page, uint64_t lo,
                                uint64_t hi) TIDEMARK_NOEXCEPT;
void tidemark_precopy_sent_copy(tidemark_writes *writes, uint32_t block, uint64_t page, uint64_t lo,
                                uint64_t hi, uint64_t now_ns) TIDEMARK_NOEXCEPT;
/* Forgets the plan and the hashes; what was learnt stays. */
void tidemark_precopy_end(tidemark_writes *writes,
                          enum tidemark_precopy_outcome outcome) TIDEMARK_NOEXCEPT;

/* ---- What a migration would cost --------------------------------------------------------------------------
 *
 * From what was learnt of the guest's writes, before a migration and while one runs. Times are seconds. */

enum tidemark_verdict {
    TIDEMARK_VERDICT_UNKNOWN = 0,
    TIDEMARK_VERDICT_CONVERGES = 1,
    TIDEMARK_VERDICT_WILL_NOT = 2, /* within patience */
};

enum tidemark_remedy_kind {
    TIDEMARK_REMEDY_PREDICTOR = 0, /* send in the order of the plan */
    TIDEMARK_REMEDY_WAIT = 1,      /* value: seconds from now, when the guest writes less */
    TIDEMARK_REMEDY_BANDWIDTH = 2, /* value: bytes a second */
    TIDEMARK_REMEDY_DOWNTIME = 3,  /* value: a longer limit, seconds */
    TIDEMARK_REMEDY_THROTTLE =
        4, /* value: 0 .. 1, the share of its time that the guest is held back */
    TIDEMARK_REMEDY_POSTCOPY = 5,
};
#define TIDEMARK_REMEDIES 6u

struct tidemark_bound {
    double p50, p90; /* not more than this in half, in nine tenths of migrations */
};

struct tidemark_forecast_terms {
    size_t size;
    double bandwidth;       /* bytes a second; 0 = unknown: then there is no forecast */
    double bandwidth_doubt; /* standard deviation over value */
    bool bandwidth_set;     /* a setting holds it down; else the link gives no more */
    bool planned;           /* pages will be sent in the order of the plan */
    uint64_t pages;         /* of RAM that migrates */
    bool running;           /* a migration is; the next five are of it */
    uint64_t pages_left;    /* that have to be sent */
    bool first_pass;        /* there are still pages that were never sent */
    double seconds_so_far, bytes_so_far;
    double slowed;         /* 0 .. 1: the guest is held back so much now */
    uint64_t zero_pages;   /* of those to be sent, that are zero */
    double downtime_limit; /* the user's */
    double reserve;        /* of the limit: RAM will not be given all of it */
    double overhead;       /* of the downtime: not for RAM */
    double patience; /* seconds after which it counts as not converging; 0 = four times what sending
                            * everything takes, and not less than a minute */
};

struct tidemark_remedy {
    enum tidemark_remedy_kind kind;
    double value;
    double cost;                     /* about the seconds of its time that the guest loses */
    double seconds, bytes, downtime; /* of the migration then */
};

struct tidemark_forecast {
    size_t size;
    enum tidemark_verdict verdict;
    double chance; /* that it converges */
    struct tidemark_bound seconds, bytes,
        downtime; /* of the whole; without an end: until patience ends */
    struct tidemark_bound raw_seconds, raw_bytes,
        raw_downtime;      /* without what earlier errors taught */
    double irreducible;    /* bytes that are rewritten as fast as they can be sent, in any order */
    double quiet_in;       /* seconds until the guest writes less; negative = not known */
    double watched;        /* seconds that its writes were watched for */
    uint32_t remedy_count; /* none if it converges */
    struct tidemark_remedy remedies[TIDEMARK_REMEDIES]; /* the cheapest first */
    char reason[256];
};

/* A forecast (raw) and what came. */
struct tidemark_forecast_error {
    struct tidemark_bound seconds, bytes, downtime;
    double actual_seconds, actual_bytes, actual_downtime;
};

void tidemark_forecast_terms_init(struct tidemark_forecast_terms *terms) TIDEMARK_NOEXCEPT;
/* writes: NULL if nothing is learnt; then there are figures of a guest that writes nothing, and no verdict.
 * -EINVAL, -ENOMEM. Takes some milliseconds of CPU, hardly any of them with the lock of writes. */
int tidemark_precopy_forecast(tidemark_writes *writes, const struct tidemark_forecast_terms *terms,
                              struct tidemark_forecast *forecast, char *msg,
                              size_t msg_size) TIDEMARK_NOEXCEPT;
/* How right earlier forecasts were, the oldest first, so that bounds hold as often as they say. Replaces what was
 * known in this process; at most the last 128 count. */
int tidemark_forecast_calibrate(const struct tidemark_forecast_error *errors,
                                size_t count) TIDEMARK_NOEXCEPT;

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
