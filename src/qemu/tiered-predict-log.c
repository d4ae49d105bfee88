/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks by number, and the log of dirty pages.
 *
 * The log is ram_list's bitmap DIRTY_MEMORY_MIGRATION. Who takes a bit out of it must make sure that the next write
 * sets it again: KVM has to protect the page (log_clear), translated code to leave its fast path (TLB). A migration
 * that begins later relies on it, so a look does it although losing a bit would do the learning no harm.
 */
#include "qemu/osdep.h"
#include "exec/cputlb.h"
#include "exec/target_page.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/tcg.h"

#include "hostmem-tiered.h"
#include "tiered-predict.h"

#define WORD_PAGES BITS_PER_LONG
/* Words of the log that are looked at together: 1 GiB of guest. */
#define SLICE_WORDS 4096
#define MODEL_PAGE_BITS 12

static struct {
    void *writes; /* set once */
    uint32_t version; /* of ram_list, when this was made */
    unsigned count;
    struct {
        RAMBlock *rb;
        uint64_t pages;
        char *name; /* tells a block from another one at its address */
    } blocks[TIDEMARK_WRITES_BLOCKS];
} table;

tidemark_writes *tiered_writes(void)
{
    return qatomic_load_acquire(&table.writes);
}

static bool table_is_current(void)
{
    return qatomic_read(&ram_list.version) == qatomic_read(&table.version);
}

int tiered_block_number(const RAMBlock *rb)
{
    static __thread unsigned last;

    if (!table_is_current()) {
        return -1;
    }
    if (last < table.count && table.blocks[last].rb == rb) {
        return last;
    }
    for (unsigned i = 0; i < table.count; i++) {
        if (table.blocks[i].rb == rb) {
            last = i;
            return i;
        }
    }
    return -1;
}

RAMBlock *tiered_block_get(uint32_t number)
{
    /* A block is freed by RCU, after the version has changed. */
    return table_is_current() && number < table.count ? table.blocks[number].rb : NULL;
}

static bool create_model(Error **errp)
{
    tidemark_writes *writes;
    int ret;

    if (table.writes) {
        return true;
    }
    if (qemu_target_page_bits() != MODEL_PAGE_BITS) {
        error_setg(errp, "writes can be learnt only of guests whose pages have %d bytes",
                   1 << MODEL_PAGE_BITS);
        return false;
    }
    ret = tidemark_writes_create(tiered_predict_now(), &writes);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "writes cannot be learnt");
        return false;
    }
    qatomic_store_release(&table.writes, writes);
    return true;
}

static bool same_block(unsigned number, const RAMBlock *rb)
{
    return number < table.count && table.blocks[number].rb == rb &&
           table.blocks[number].pages == rb->max_length >> MODEL_PAGE_BITS &&
           g_str_equal(table.blocks[number].name, rb->idstr);
}

static void drop_block(unsigned number)
{
    tidemark_writes_remove_block(table.writes, number);
    g_clear_pointer(&table.blocks[number].name, g_free);
    table.blocks[number].rb = NULL;
}

/* Blocks keep their number as long as they live: what was learnt of them is kept under it. */
static bool add_block(RAMBlock *rb, Error **errp)
{
    uint64_t pages = rb->max_length >> MODEL_PAGE_BITS;
    unsigned number = 0;
    int ret;

    while (number < table.count && table.blocks[number].rb) {
        number++;
    }
    if (number == TIDEMARK_WRITES_BLOCKS || !pages) {
        return true; /* such a block migrates without */
    }
    ret = tidemark_writes_add_block(table.writes, number, pages);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "writes to %s cannot be learnt", rb->idstr);
        return false;
    }
    table.blocks[number].rb = rb;
    table.blocks[number].pages = pages;
    table.blocks[number].name = g_strdup(rb->idstr);
    table.count = MAX(table.count, number + 1);
    return true;
}

bool tiered_writes_prepare(Error **errp)
{
    RAMBlock *rb;
    uint32_t version;

    if (!create_model(errp)) {
        return false;
    }
    if (table_is_current() && table.count) {
        return true;
    }
    RCU_READ_LOCK_GUARD();
    version = qatomic_read(&ram_list.version);
    smp_rmb();
    for (unsigned i = 0; i < table.count; i++) {
        bool lives = false;

        RAMBLOCK_FOREACH(rb) {
            lives |= same_block(i, rb);
        }
        if (!lives && table.blocks[i].rb) {
            drop_block(i);
        }
    }
    RAMBLOCK_FOREACH(rb) {
        bool known = false;

        for (unsigned i = 0; i < table.count; i++) {
            known |= table.blocks[i].rb == rb;
        }
        if (!known && qemu_ram_is_migratable(rb) && !add_block(rb, errp)) {
            return false;
        }
    }
    qatomic_set(&table.version, version);
    return true;
}

void tiered_writes_forget(void)
{
    for (unsigned i = 0; i < table.count; i++) {
        if (table.blocks[i].rb) {
            drop_block(i);
        }
    }
    table.count = 0;
}

/* Copies @count words of the log, from page @first of @rb on, and takes them out if asked to. */
static bool read_words(RAMBlock *rb, uint64_t first, unsigned long *words, size_t count, bool take)
{
    DirtyMemoryBlocks *log = qatomic_rcu_read(&ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION]);
    uint64_t word = ((rb->offset >> MODEL_PAGE_BITS) + first) / WORD_PAGES;
    unsigned long any = 0;

    for (size_t i = 0; i < count; i++, word++) {
        unsigned long *source = &log->blocks[word / (DIRTY_MEMORY_BLOCK_SIZE / WORD_PAGES)]
                                            [word % (DIRTY_MEMORY_BLOCK_SIZE / WORD_PAGES)];

        words[i] = qatomic_read(source);
        if (take && words[i]) {
            words[i] = qatomic_xchg(source, 0);
        }
        any |= words[i];
    }
    return any != 0;
}

static void rearm(RAMBlock *rb, uint64_t first, uint64_t pages)
{
    uint64_t start = first << MODEL_PAGE_BITS;

    if (tcg_enabled() && start < rb->used_length) {
        tlb_reset_dirty_range_all(rb->offset + start,
                                  MIN(pages << MODEL_PAGE_BITS, rb->used_length - start));
    }
}

static void feed_block(unsigned number, bool take)
{
    static unsigned long words[SLICE_WORDS]; /* BQL held */
    RAMBlock *rb = table.blocks[number].rb;
    uint64_t pages = table.blocks[number].pages;

    for (uint64_t first = 0; first < pages; first += SLICE_WORDS * WORD_PAGES) {
        uint64_t slice = MIN(pages - first, SLICE_WORDS * WORD_PAGES);
        size_t count = DIV_ROUND_UP(slice, WORD_PAGES);

        if (!read_words(rb, first, words, count, take)) {
            continue;
        }
        if (take) {
            rearm(rb, first, slice);
        }
        tidemark_writes_dirty(table.writes, number, first, words, count);
    }
}

uint64_t tiered_log_look(void)
{
    uint64_t wait;

    RCU_READ_LOCK_GUARD();
    tidemark_writes_begin(table.writes, tiered_predict_now());
    memory_global_dirty_log_sync(false);
    for (unsigned i = 0; i < table.count; i++) {
        if (table.blocks[i].rb) {
            feed_block(i, true);
            memory_region_clear_dirty_bitmap(table.blocks[i].rb->mr, 0,
                                             table.blocks[i].rb->used_length);
        }
    }
    wait = tidemark_writes_end(table.writes, tiered_predict_now());
    tiered_log_tell_profiles();
    return wait;
}

void tiered_log_tell_profiles(void)
{
    for (unsigned i = 0; i < table.count; i++) {
        RAMBlock *rb = tiered_block_get(i);
        TieredBackend *tb = rb ? tiered_backend_get_by_block(rb) : NULL;

        if (tb) {
            tidemark_backend_note_writes(tb->engine_backend, table.writes, i);
            tiered_backend_put(tb);
        }
    }
}

void tiered_log_peek(RAMBlock *rb)
{
    int number = tiered_block_number(rb);

    if (number >= 0) {
        feed_block(number, false);
    }
}

/*
 * A vCPU that was between setting a bit and taking the fast path when the bit was taken out may have taken it
 * afterwards, and goes on to. The caller has waited for every vCPU to finish what it was doing: now such an entry is
 * seen, and no new one can come before a bit is taken out again.
 */
void tiered_log_rearm(void)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(rb) {
        rearm(rb, 0, rb->max_length >> MODEL_PAGE_BITS);
    }
}
