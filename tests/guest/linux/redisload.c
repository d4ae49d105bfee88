/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * redisload SOCKET MIB: fills Redis with MIB of 4000-byte values whose bytes
 * follow from the key, reads all of them back in order, overwrites one in
 * eight, reads all in random order, and compares every byte. Ends with
 * `REDIS OK keys=.. bad=0` or `REDIS FAILED`.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"

#define VALUE_BYTES 4000u
#define PIPELINE 64u /* requests sent before the answers are read */

static FILE *to_server, *from_server;
static uint32_t *version;
static uint64_t keys, bad, checked;

static void connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail("REDIS FAILED: cannot connect to %s: %s", path, strerror(errno));
    }
    to_server = fdopen(fd, "w");
    from_server = fdopen(dup(fd), "r");
    if (!to_server || !from_server) {
        fail("REDIS FAILED: fdopen: %s", strerror(errno));
    }
    setvbuf(to_server, NULL, _IOFBF, 1 << 16);
    setvbuf(from_server, NULL, _IOFBF, 1 << 16);
}

static void make_value(uint64_t key, char *value)
{
    uint64_t page[PAGE_WORDS];

    page_fill(page, mix(key * 1000003u + version[key]) | 1);
    memcpy(value, page, VALUE_BYTES);
}

static void send_set(uint64_t key)
{
    char name[32], value[VALUE_BYTES];
    int length = snprintf(name, sizeof name, "key:%llu", (unsigned long long)key);

    make_value(key, value);
    fprintf(to_server, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%u\r\n", length, name, VALUE_BYTES);
    fwrite(value, 1, VALUE_BYTES, to_server);
    fputs("\r\n", to_server);
}

static void send_get(uint64_t key)
{
    char name[32];
    int length = snprintf(name, sizeof name, "key:%llu", (unsigned long long)key);

    fprintf(to_server, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", length, name);
}

static void read_line(char *line, int size)
{
    if (!fgets(line, size, from_server)) {
        fail("REDIS FAILED: the server closed the connection");
    }
}

static void expect_stored(void)
{
    char line[128];

    read_line(line, sizeof line);
    if (strcmp(line, "+OK\r\n") != 0) {
        fail("REDIS FAILED: SET answered %s", line);
    }
}

static void expect_value(uint64_t key)
{
    char line[128], value[VALUE_BYTES], found[VALUE_BYTES + 2];

    read_line(line, sizeof line);
    if (line[0] != '$' || strtoul(line + 1, NULL, 10) != VALUE_BYTES) {
        fail("REDIS FAILED: GET key:%llu answered %s", (unsigned long long)key, line);
    }
    if (fread(found, 1, sizeof found, from_server) != sizeof found) {
        fail("REDIS FAILED: short value for key:%llu", (unsigned long long)key);
    }
    make_value(key, value);
    checked++;
    if (memcmp(found, value, VALUE_BYTES) != 0 && bad++ < 8) {
        printf("BAD key:%llu\n", (unsigned long long)key);
    }
}

static void batch(const uint64_t *some, unsigned count, int set)
{
    for (unsigned i = 0; i < count; i++) {
        set ? send_set(some[i]) : send_get(some[i]);
    }
    fflush(to_server);
    for (unsigned i = 0; i < count; i++) {
        set ? expect_stored() : expect_value(some[i]);
    }
}

/* Runs over all keys, in order or shuffled, in pipelined batches. */
static void all_keys(int set, int shuffled, uint64_t stride)
{
    uint64_t some[PIPELINE], slots = 1, at = 12345;
    unsigned count = 0;

    while (slots < keys) {
        slots *= 2;
    }
    for (uint64_t i = 0; i < slots; i++) {
        at = shuffled ? (at * 1664525 + 1013904223) & (slots - 1) : i;
        if (at >= keys || at % stride) {
            continue;
        }
        version[at] += set && stride > 1;
        some[count++] = at;
        if (count == PIPELINE) {
            batch(some, count, set);
            count = 0;
        }
    }
    batch(some, count, set);
}

static void phase(const char *name, double *since)
{
    double now = now_s();

    printf("REDIS %s %.2f s\n", name, now - *since);
    fflush(stdout);
    *since = now;
}

int main(int argc, char **argv)
{
    double since = now_s();

    if (argc != 3) {
        fail("usage: redisload SOCKET MIB");
    }
    keys = number(argv[2], "MIB") * (1u << 20) / VALUE_BYTES;
    version = calloc(keys, sizeof *version);
    if (!version) {
        fail("REDIS FAILED: no memory");
    }
    connect_to(argv[1]);
    all_keys(1, 0, 1);
    phase("fill", &since);
    all_keys(0, 0, 1);
    phase("read", &since);
    all_keys(1, 1, 8);
    phase("overwrite", &since);
    all_keys(0, 1, 1);
    phase("random", &since);
    printf("REDIS %s keys=%llu checked=%llu bad=%llu\n", bad ? "FAILED" : "OK",
           (unsigned long long)keys, (unsigned long long)checked, (unsigned long long)bad);
    return bad ? 1 : 0;
}
