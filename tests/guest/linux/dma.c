/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dma DEVICE OFFSET-MIB DISK-MIB MEMORY-MIB OPERATIONS SEED: O_DIRECT reads and
 * writes between random places of a large buffer and of a part of the disk,
 * mixed with rewrites by the CPU. The device's DMA thus meets memory that is
 * resident, staged or on a tier. Who holds which contents is tracked by tags;
 * all of it is checked. Ends with `DMA OK ... bad=0` or `DMA FAILED`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"

#define RUN_PAGES_MAX 16u

struct dma {
    int disk;
    uint64_t *memory;
    uint64_t *memory_tag, *disk_tag;
    uint64_t memory_pages, disk_pages, disk_offset, next_tag, random, bad;
};

static void check(struct dma *d, uint64_t page, const char *where)
{
    unsigned words = page_check(d->memory + page * PAGE_WORDS, d->memory_tag[page]);

    if (words && d->bad++ < 8) {
        printf("BAD %s page=%llu words=%u\n", where, (unsigned long long)page, words);
    }
}

static void touch(struct dma *d, uint64_t page)
{
    check(d, page, "touched");
    d->memory_tag[page] = ++d->next_tag;
    page_fill(d->memory + page * PAGE_WORDS, d->next_tag);
}

static void transfer(struct dma *d, int write, uint64_t page, uint64_t block, uint64_t count)
{
    char *at = (char *)(d->memory + page * PAGE_WORDS);
    off_t offset = (off_t)(d->disk_offset + block * PAGE_BYTES);
    ssize_t want = (ssize_t)(count * PAGE_BYTES);
    ssize_t got = write ? pwrite(d->disk, at, (size_t)want, offset)
                        : pread(d->disk, at, (size_t)want, offset);

    if (got != want) {
        fail("DMA FAILED: %s at %lld moved %zd of %zd bytes: %s", write ? "write" : "read",
             (long long)offset, got, want, got < 0 ? strerror(errno) : "short");
    }
    if (write) {
        memcpy(d->disk_tag + block, d->memory_tag + page, count * sizeof(uint64_t));
    } else {
        memcpy(d->memory_tag + page, d->disk_tag + block, count * sizeof(uint64_t));
    }
}

static void step(struct dma *d)
{
    uint64_t count = 1 + next_random(&d->random) % RUN_PAGES_MAX;
    uint64_t page = next_random(&d->random) % (d->memory_pages - count);
    uint64_t block = next_random(&d->random) % (d->disk_pages - count);

    switch (next_random(&d->random) % 4) {
    case 0:
        transfer(d, 1, page, block, count);
        break;
    case 1:
        transfer(d, 0, page, block, count);
        break;
    case 2: /* read back at once: the device's data must not have been lost */
        transfer(d, 0, page, block, count);
        for (uint64_t i = 0; i < count; i++) {
            check(d, page + i, "read");
        }
        break;
    default:
        touch(d, page);
    }
}

static void prepare(struct dma *d)
{
    for (uint64_t page = 0; page < d->memory_pages; page++) {
        d->memory_tag[page] = ++d->next_tag;
        page_fill(d->memory + page * PAGE_WORDS, d->next_tag);
    }
    for (uint64_t block = 0; block < d->disk_pages; block += RUN_PAGES_MAX) {
        transfer(d, 1, block % (d->memory_pages - RUN_PAGES_MAX), block, RUN_PAGES_MAX);
    }
}

int main(int argc, char **argv)
{
    struct dma d = {0};
    unsigned long operations;
    double since;

    if (argc != 7) {
        fail("usage: dma DEVICE OFFSET-MIB DISK-MIB MEMORY-MIB OPERATIONS SEED");
    }
    d.disk = open(argv[1], O_RDWR | O_DIRECT);
    if (d.disk < 0) {
        fail("DMA FAILED: cannot open %s with O_DIRECT: %s", argv[1], strerror(errno));
    }
    d.disk_offset = number(argv[2], "OFFSET-MIB") << 20;
    d.disk_pages = number(argv[3], "DISK-MIB") * 256;
    d.memory_pages = number(argv[4], "MEMORY-MIB") * 256;
    operations = number(argv[5], "OPERATIONS");
    d.random = number(argv[6], "SEED");
    d.memory = mmap(NULL, d.memory_pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    d.memory_tag = calloc(d.memory_pages, sizeof(uint64_t));
    d.disk_tag = calloc(d.disk_pages, sizeof(uint64_t));
    if (d.memory == MAP_FAILED || !d.memory_tag || !d.disk_tag || d.memory_pages < 64) {
        fail("DMA FAILED: no memory");
    }
    prepare(&d);
    since = now_s();
    for (unsigned long i = 0; i < operations; i++) {
        step(&d);
    }
    for (uint64_t page = 0; page < d.memory_pages; page++) {
        check(&d, page, "memory");
    }
    for (uint64_t block = 0; block < d.disk_pages; block += RUN_PAGES_MAX) {
        transfer(&d, 0, 0, block, RUN_PAGES_MAX);
        for (uint64_t i = 0; i < RUN_PAGES_MAX; i++) {
            check(&d, i, "disk");
        }
    }
    printf("DMA %s operations=%lu seconds=%.2f bad=%llu\n", d.bad ? "FAILED" : "OK", operations,
           now_s() - since, (unsigned long long)d.bad);
    return d.bad ? 1 : 0;
}
