// SPDX-License-Identifier: GPL-2.0-or-later
#include "capi/handles.h"
#include "engine/cold_reader.h"

#include <algorithm>

using namespace tidemark;

struct tidemark_reader {
    tidemark_backend *backend = nullptr;
    std::unique_ptr<ColdReader> reader;
    std::vector<PageIndex> pages; // kept for its memory, as the next
    std::vector<const std::byte *> bytes;
};

namespace {
// Fills reader->pages; 0 or a positive errno.
int take_offsets(tidemark_reader *reader, const uint64_t *offsets, std::uint32_t count) {
    reader->pages.clear();
    for (std::uint32_t i = 0; i < count; ++i) {
        if (const int error = page_range_error(reader->backend, offsets[i], kPageSize); error != 0)
            return error;
        reader->pages.push_back(run_of(offsets[i], kPageSize).first);
    }
    return 0;
}
} // namespace

extern "C" {

int tidemark_reader_create(tidemark_backend *backend, uint32_t pages, tidemark_reader **reader,
                           char *msg, size_t msg_size) noexcept {
    return guarded([&]() -> int {
        if (pages < 2 || pages > TIDEMARK_READER_PAGES)
            return report(msg, msg_size, {EINVAL, "a reader has room for 2 to 1024 pages"});
        if (!backend->attached)
            return report(msg, msg_size, {ENOTCONN, "the backend has no memory yet"});
        auto made = std::make_unique<tidemark_reader>();
        auto opened = ColdReader::open(*backend->backend, pages);
        if (!opened)
            return report(msg, msg_size, opened.error());
        made->backend = backend;
        made->reader = std::move(*opened);
        *reader = made.release();
        return 0;
    });
}

void tidemark_reader_destroy(tidemark_reader *reader) noexcept {
    delete reader;
}

int tidemark_reader_fetch(tidemark_reader *reader, const uint64_t *offsets, uint32_t count,
                          const void **bytes) noexcept {
    return guarded([&]() -> int {
        if (count > reader->reader->pages())
            return -EINVAL;
        if (const int error = take_offsets(reader, offsets, count); error != 0)
            return -error;
        reader->bytes.resize(count);
        const int failed = reader->reader->fetch(reader->pages, reader->bytes);
        std::copy(reader->bytes.begin(), reader->bytes.end(), bytes);
        return -failed;
    });
}

int tidemark_reader_ahead(tidemark_reader *reader, const uint64_t *offsets,
                          uint32_t count) noexcept {
    return guarded([&]() -> int {
        if (const int error = take_offsets(reader, offsets, count); error != 0)
            return -error;
        reader->reader->read_ahead(reader->pages);
        return 0;
    });
}

} // extern "C"
