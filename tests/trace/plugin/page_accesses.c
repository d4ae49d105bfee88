/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A plugin for QEMU's TCG: which pages of RAM the guest touches, window by window of instructions.
 *
 *    memory access    a page not yet seen in this window is appended to it; a write is noted
 *    translated block its instructions are counted, its page of code counts as read
 *    a load from MARK_BEGIN or MARK_END (no device is there) starts or ends the recording
 *
 * One vCPU (-smp 1): nothing here is locked. Only functions that all versions of the interface have
 * (QEMU 7.2 to 10) are used. Not seen: what devices read and write by themselves, and the second page of an access
 * that crosses a page.
 *
 * Arguments: out=FILE, ram=MIB, window=INSTRUCTIONS, from=start|mark
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-plugin.h>

#define PAGE_SHIFT 12
#define NO_PAGE UINT32_MAX
#define WINDOW_END UINT32_MAX
/* Physical addresses in the hole below the APICs; guest/tracejob.c reads them. */
#define MARK_BEGIN UINT64_C(0xfed90000)
#define MARK_END UINT64_C(0xfed90040)
/* How /proc/self/maps names the RAM of a memory-backend-memfd. */
#define RAM_MAPPING "/memfd:memory-backend-memfd"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = TRACE_PLUGIN_API;

struct block { /* a translated one; kept until QEMU ends */
    uint32_t instructions;
    uint32_t first_page, last_page;
};

static FILE *out;
static uint64_t ram_bytes, window_instructions, instructions;
static uint32_t *seen_in; /* per page: the last window it was seen in */
static uint8_t *written;  /* per page: in that window */
static uint32_t *pages;   /* of this window, in order */
static uint32_t count, window;
static int recording;
static uintptr_t ram_host;

static void die(const char *what)
{
    fprintf(stderr, "page_accesses: %s\n", what);
    exit(1);
}

static void put_word(uint32_t word)
{
    uint8_t bytes[4] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                        (uint8_t)(word >> 24)};

    if (fwrite(bytes, sizeof bytes, 1, out) != 1) {
        die("the recording can't be written");
    }
}

static void end_window(void)
{
    for (uint32_t i = 0; i < count; i++) {
        put_word(pages[i] << 1 | written[pages[i]]);
    }
    put_word(WINDOW_END);
    count = 0;
    instructions = 0;
    window++;
}

static void note(uint32_t page, int write)
{
    if (!recording) {
        return;
    }
    if (seen_in[page] != window) {
        seen_in[page] = window;
        written[page] = 0;
        pages[count++] = page;
    }
    written[page] |= (uint8_t)write;
}

static void mark(uint64_t address)
{
    if (address == MARK_BEGIN && !recording) {
        instructions = 0;
        recording = 1;
    } else if (address == MARK_END && recording) {
        end_window();
        recording = 0;
    }
}

static void on_memory(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    uint64_t physical;

    (void)cpu;
    (void)data;
    if (!where) {
        return;
    }
    physical = qemu_plugin_hwaddr_phys_addr(where);
    if (qemu_plugin_hwaddr_is_io(where)) {
        mark(physical);
    } else if (physical < ram_bytes) {
        note((uint32_t)(physical >> PAGE_SHIFT), qemu_plugin_mem_is_store(info));
    }
}

static void on_block(unsigned int cpu, void *data)
{
    const struct block *block = data;

    (void)cpu;
    if (!recording) {
        return;
    }
    if (block->first_page != NO_PAGE) {
        note(block->first_page, 0);
    }
    if (block->last_page != NO_PAGE && block->last_page != block->first_page) {
        note(block->last_page, 0);
    }
    instructions += block->instructions;
    if (instructions >= window_instructions) {
        end_window();
    }
}

/* Where the guest's RAM is in QEMU's memory: instructions are known by their host address only. */
static void find_ram(void)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");

    while (maps && fgets(line, sizeof line, maps)) {
        if (strstr(line, RAM_MAPPING)) {
            ram_host = strtoul(line, NULL, 16);
            break;
        }
    }
    if (maps) {
        fclose(maps);
    }
    if (!ram_host) {
        die("the guest's RAM is not a memory-backend-memfd");
    }
}

static uint32_t code_page(const struct qemu_plugin_insn *instruction)
{
    uintptr_t host = (uintptr_t)qemu_plugin_insn_haddr(instruction);

    return host >= ram_host && host < ram_host + ram_bytes
               ? (uint32_t)((host - ram_host) >> PAGE_SHIFT)
               : NO_PAGE;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *translated)
{
    size_t n = qemu_plugin_tb_n_insns(translated);
    struct block *block = malloc(sizeof *block);

    (void)id;
    if (!block) {
        die("no memory");
    }
    if (!ram_host) {
        find_ram();
    }
    block->instructions = (uint32_t)n;
    block->first_page = code_page(qemu_plugin_tb_get_insn(translated, 0));
    block->last_page = code_page(qemu_plugin_tb_get_insn(translated, n - 1));
    qemu_plugin_register_vcpu_tb_exec_cb(translated, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
    for (size_t i = 0; i < n; i++) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(translated, i), on_memory,
                                         QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
    }
}

static void on_end(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    if (recording) {
        end_window();
    }
    if (fclose(out) != 0) {
        die("the recording can't be written");
    }
}

static void start_file(const char *path)
{
    out = fopen(path, "wb");
    if (!out) {
        die("the recording's file can't be opened");
    }
    fwrite("TMRW", 4, 1, out);
    put_word((uint32_t)(ram_bytes >> PAGE_SHIFT));
    put_word((uint32_t)window_instructions);
    put_word((uint32_t)(window_instructions >> 32));
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    const char *path = NULL;
    size_t ram_pages;

    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            path = argv[i] + 4;
        } else if (strncmp(argv[i], "ram=", 4) == 0) {
            ram_bytes = strtoull(argv[i] + 4, NULL, 10) << 20;
        } else if (strncmp(argv[i], "window=", 7) == 0) {
            window_instructions = strtoull(argv[i] + 7, NULL, 10);
        } else if (strcmp(argv[i], "from=start") == 0) {
            recording = 1;
        } else if (strcmp(argv[i], "from=mark") != 0) {
            die("arguments are out=FILE, ram=MIB, window=INSTRUCTIONS, from=start|mark");
        }
    }
    if (!path || !ram_bytes || !window_instructions || !info->system_emulation ||
        info->system.smp_vcpus != 1) {
        die("it needs out=, ram= and window=, and a machine with one vCPU");
    }
    ram_pages = ram_bytes >> PAGE_SHIFT;
    window = 1;
    seen_in = calloc(ram_pages, sizeof *seen_in);
    written = calloc(ram_pages, sizeof *written);
    pages = calloc(ram_pages, sizeof *pages);
    if (!seen_in || !written || !pages) {
        die("no memory");
    }
    start_file(path);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
