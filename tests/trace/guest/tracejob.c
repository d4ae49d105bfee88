/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What runs in a guest whose page accesses are recorded:
 *   tracejob begin | end               tells the recorder, by a load from an address where no device is
 *   tracejob redis SOCKET KEYS READS   fills Redis, then reads keys drawn by zipf 0.99; one in ten is written
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"
#include "perf_core.h"

/* As in plugin/page_accesses.c. */
#define MARK_PAGE 0xfed90000
#define MARK_END_OFFSET 0x40
#define VALUE_BYTES 1500
#define PIPELINE 16

static FILE *to_server, *from_server;

static void tell_recorder(size_t offset)
{
    int fd = open("/dev/mem", O_RDONLY | O_SYNC);
    volatile uint32_t *page = MAP_FAILED;

    if (fd >= 0) {
        page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, MARK_PAGE);
    }
    if (page == MAP_FAILED) {
        fail("TRACE FAILED: /dev/mem: %s", strerror(errno));
    }
    (void)page[offset / sizeof *page];
}

static void connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail("TRACE FAILED: cannot connect to %s: %s", path, strerror(errno));
    }
    to_server = fdopen(fd, "w");
    from_server = fdopen(dup(fd), "r");
    if (!to_server || !from_server) {
        fail("TRACE FAILED: fdopen: %s", strerror(errno));
    }
}

static void make_value(uint64_t key, char *value)
{
    for (unsigned i = 0; i < VALUE_BYTES; i++) {
        value[i] = (char)('a' + (key + i) % 26);
    }
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

static void expect(uint64_t key, int set)
{
    char line[128], value[VALUE_BYTES], found[VALUE_BYTES + 2];

    if (!fgets(line, sizeof line, from_server) || line[0] != (set ? '+' : '$')) {
        fail("TRACE FAILED: the server did not answer a %s", set ? "SET" : "GET");
    }
    if (set) {
        return;
    }
    make_value(key, value);
    if (fread(found, 1, sizeof found, from_server) != sizeof found ||
        memcmp(found, value, VALUE_BYTES) != 0) {
        fail("TRACE FAILED: key:%llu has another value", (unsigned long long)key);
    }
}

static void batch(const uint64_t *key, const int *set, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        set[i] ? send_set(key[i]) : send_get(key[i]);
    }
    fflush(to_server);
    for (unsigned i = 0; i < count; i++) {
        expect(key[i], set[i]);
    }
}

static void redis(uint64_t keys, uint64_t reads)
{
    uint64_t key[PIPELINE], random = 1;
    struct perf_zipf zipf;
    int set[PIPELINE];

    perf_zipf_init(&zipf, keys);
    for (uint64_t done = 0; done < keys + reads; done += PIPELINE) {
        for (unsigned i = 0; i < PIPELINE; i++) {
            int fill = done + i < keys;

            key[i] = fill ? done + i : perf_scatter(perf_zipf_draw(&zipf, &random), keys);
            set[i] = fill || perf_below(&random, 10) == 0;
        }
        batch(key, set, PIPELINE);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "begin") == 0) {
        tell_recorder(0);
    } else if (argc == 2 && strcmp(argv[1], "end") == 0) {
        tell_recorder(MARK_END_OFFSET);
    } else if (argc == 5 && strcmp(argv[1], "redis") == 0) {
        connect_to(argv[2]);
        redis(number(argv[3], "KEYS"), number(argv[4], "READS"));
    } else {
        fail("usage: tracejob begin | end | redis SOCKET KEYS READS");
    }
    return 0;
}
