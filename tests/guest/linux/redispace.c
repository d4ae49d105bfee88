/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * redispace SOCKET MIB HOT-MIB PER-SECOND: fills Redis with MIB of 4000-byte values whose bytes follow from the key
 * and its version, then asks for one after the other of the first HOT-MIB of them, in random order and at
 * that pace, one in eight a write, and compares every byte. Prints `PACE FILLED`, then every quarter of a second
 *   PACE number answers bad worst-us second-worst-us ...
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"

#define VALUE_BYTES 4000u
#define WORST 10u /* the p99 of a second's answers, if they come at some hundred a second */
#define BEAT_S 0.25

static FILE *to_server, *from_server;
static uint32_t *version;
static uint64_t bad;

static void connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail("PACE FAILED: cannot connect to %s: %s", path, strerror(errno));
    }
    to_server = fdopen(fd, "w");
    from_server = fdopen(dup(fd), "r");
    if (!to_server || !from_server) {
        fail("PACE FAILED: fdopen: %s", strerror(errno));
    }
}

static void make_value(uint64_t key, char *value)
{
    uint64_t page[PAGE_WORDS];

    page_fill(page, mix(key * 1000003u + version[key]) | 1);
    memcpy(value, page, VALUE_BYTES);
}

static void read_line(char *line, int size)
{
    if (!fgets(line, size, from_server)) {
        fail("PACE FAILED: the server closed the connection");
    }
}

static void set(uint64_t key)
{
    char name[32], value[VALUE_BYTES], line[128];
    int length = snprintf(name, sizeof name, "key:%llu", (unsigned long long)key);

    make_value(key, value);
    fprintf(to_server, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%u\r\n", length, name, VALUE_BYTES);
    fwrite(value, 1, VALUE_BYTES, to_server);
    fputs("\r\n", to_server);
    fflush(to_server);
    read_line(line, sizeof line);
    if (strcmp(line, "+OK\r\n") != 0) {
        fail("PACE FAILED: SET answered %s", line);
    }
}

static void get(uint64_t key)
{
    char name[32], line[128], value[VALUE_BYTES], found[VALUE_BYTES + 2];
    int length = snprintf(name, sizeof name, "key:%llu", (unsigned long long)key);

    fprintf(to_server, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", length, name);
    fflush(to_server);
    read_line(line, sizeof line);
    if (line[0] != '$' || strtoul(line + 1, NULL, 10) != VALUE_BYTES) {
        fail("PACE FAILED: GET key:%llu answered %s", (unsigned long long)key, line);
    }
    if (fread(found, 1, sizeof found, from_server) != sizeof found) {
        fail("PACE FAILED: short value for key:%llu", (unsigned long long)key);
    }
    make_value(key, value);
    bad += memcmp(found, value, VALUE_BYTES) != 0;
}

/* Keeps the longest of a beat's times, longest first. */
static void note(unsigned *worst, unsigned us)
{
    for (unsigned i = 0; i < WORST; i++) {
        if (us > worst[i]) {
            unsigned shorter = worst[i];
            worst[i] = us;
            us = shorter;
        }
    }
}

static void beat(uint64_t number, uint64_t answers, unsigned *worst)
{
    printf("PACE %llu %llu %llu", (unsigned long long)number, (unsigned long long)answers,
           (unsigned long long)bad);
    for (unsigned i = 0; i < WORST; i++) {
        printf(" %u", worst[i]);
        worst[i] = 0;
    }
    putchar('\n');
    fflush(stdout);
}

static void pace(uint64_t hot, uint64_t per_second)
{
    unsigned worst[WORST] = {0};
    double next = now_s(), next_beat = next + BEAT_S;
    uint64_t answers = 0, state = 1;

    for (uint64_t number = 0; !bad;) {
        double before = now_s();
        if (before >= next_beat) {
            beat(number++, answers, worst);
            answers = 0;
            /* After a standstill (a paused machine's clock may jump), no catching up. */
            next_beat = next_beat + 2 * BEAT_S < before ? before + BEAT_S : next_beat + BEAT_S;
        }
        if (before < next) {
            usleep((useconds_t)((next - before) * 1e6) + 1);
            continue;
        }
        state = mix(state + 0x9e3779b97f4a7c15u);
        uint64_t key = (state >> 8) % hot;
        if (state % 8 == 0) {
            version[key]++;
            set(key);
        } else {
            get(key);
        }
        note(worst, (unsigned)((now_s() - before) * 1e6));
        answers++;
        next = next + BEAT_S < before ? before : next + 1.0 / (double)per_second;
    }
}

int main(int argc, char **argv)
{
    uint64_t keys, hot;

    if (argc != 5) {
        fail("usage: redispace SOCKET MIB HOT-MIB PER-SECOND");
    }
    keys = number(argv[2], "MIB") * (1u << 20) / VALUE_BYTES;
    hot = number(argv[3], "HOT-MIB") * (1u << 20) / VALUE_BYTES;
    version = calloc(keys, sizeof *version);
    if (!version || !hot || hot > keys) {
        fail("PACE FAILED: no memory, or more is hot than there is");
    }
    connect_to(argv[1]);
    for (uint64_t key = 0; key < keys; key++) {
        set(key);
    }
    printf("PACE FILLED\n");
    fflush(stdout);
    pace(hot, number(argv[4], "PER-SECOND"));
    printf("PACE FAILED bad=%llu\n", (unsigned long long)bad);
    return 1;
}
