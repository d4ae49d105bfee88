/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the bare-metal guests share: ports, text on the debug console, the command line.
 */
#ifndef TIDEMARK_GUEST_RUNTIME_H
#define TIDEMARK_GUEST_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#define DEBUGCON_PORT 0xe9
#define EXIT_PORT 0xf4
#define EXIT_OK 0x10  /* QEMU's exit status becomes 33 */
#define EXIT_BAD 0x11 /* ... 35 */

struct start_info {
    uint32_t magic, version, flags, modules;
    uint64_t module_list, command_line;
};

extern uint64_t start_info;

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void pause_cpu(void)
{
    __asm__ volatile("pause" ::: "memory");
}

static inline void print(const char *text)
{
    for (; *text; text++) {
        out8(DEBUGCON_PORT, (uint8_t)*text);
    }
}

static inline void print_number(uint64_t value, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;

    digits[--at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    print(digits + at);
}

/* Returns the text after "key=" when a word of the command line starts so. */
static inline const char *option(const char *line, const char *key)
{
    for (const char *word = line; *word;) {
        const char *a = word, *b = key;
        while (*b && *a == *b) {
            a++, b++;
        }
        if (!*b && *a == '=') {
            return a + 1;
        }
        while (*word && *word != ' ') {
            word++;
        }
        while (*word == ' ') {
            word++;
        }
    }
    return NULL;
}

static inline void option_number(const char *line, const char *key, uint64_t *value)
{
    const char *text = option(line, key);

    if (!text) {
        return;
    }
    for (*value = 0; *text >= '0' && *text <= '9'; text++) {
        *value = *value * 10 + (uint64_t)(*text - '0');
    }
}

/* The words of -append; empty when there are none. */
static inline const char *command_line(void)
{
    const struct start_info *info = (const void *)start_info;
    const char *line = (const char *)info->command_line;

    return line ? line : "";
}

#endif
