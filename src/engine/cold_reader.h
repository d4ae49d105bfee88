// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads pages for somebody who wants a copy of the guest (migration, dump) and changes nothing by that: no page
// comes into DRAM or into transit, no rank, stamp or queue moves, so guest, evictor and mover go on.
//
// Where a page's bytes are found:
//    in R                 not here: the caller reads them there, as without tiering
//    zero, untouched      nowhere: zeros, without a look
//    in S, or read ahead  copied under the lock
//    in a slot            read from the tier, several at a time
//
// Nobody owns a slot's page while it is read: the guest may load it, write it and have it evicted again, the mover may
// move it, the slot may be given to another page. So bytes from a slot count only if they have the checksum that the
// page table gives for the page after the read, in fetch(). Bytes read ahead are checked in fetch(), too. A caller that
// clears the page's dirty bit and then calls fetch() thus gets either bytes from after that, or a dirty bit that is set
// again.
#pragma once

#include "engine/backend.h"
#include "engine/sighting.h"

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace tidemark {

// Of one caller at a time. Goes before its backend does.
class ColdReader {
  public:
    // pages: the most of one fetch(), and of what is read ahead; their DRAM counts against the backend's limit.
    static Result<std::unique_ptr<ColdReader>> open(Backend &backend, std::uint32_t pages);
    ~ColdReader();
    ColdReader(const ColdReader &) = delete;
    ColdReader &operator=(const ColdReader &) = delete;

    // bytes[i] of pages[i]; nullptr: in R. Good until the next fetch(). 0, or the errno of a page that cannot be
    // read back, now or for good. No page twice in one call.
    int fetch(std::span<const PageIndex> pages, std::span<const std::byte *> bytes);
    // Starts reading those of them that are in a tier, as many as there is room for, the first ones first, and drops
    // what was read ahead and is not among them. Waits for nothing.
    void read_ahead(std::span<const PageIndex> pages);

    std::uint32_t pages() const { return static_cast<std::uint32_t>(buffers_.size()); }

  private:
    struct Buffer {
        LoadItem item;              // read, or being read, from there; error as of the last read
        std::uint64_t checksum = 0; // of the bytes, once read
        std::uint64_t turn = 0;     // of the call that wanted it last
        int attempts = 0;           // at this very item
        enum class Phase : std::uint8_t { free, empty, reading, read } phase = Phase::free;
    };
    struct Read {
        IoRequest request;
        std::vector<std::uint32_t> buffers;
    };

    ColdReader(Backend &backend, std::uint32_t pages);

    // sighting.cc: where the pages are, once they are not in transit; and without a wait, only whether they are stored.
    void see() TIDEMARK_EXCLUDES(backend_.mutex_);
    void see_one(Sighting &sighting) TIDEMARK_REQUIRES(backend_.mutex_);
    void see_stored() TIDEMARK_EXCLUDES(backend_.mutex_);
    void charge() TIDEMARK_EXCLUDES(backend_.mutex_);
    void uncharge() TIDEMARK_EXCLUDES(backend_.mutex_);

    // cold_reader.cc
    std::byte *bytes_of_buffer(std::uint32_t buffer) { return memory_.get() + bytes_of(buffer); }
    std::uint32_t take_buffer(PageIndex page);
    std::uint32_t idle_buffer();
    void release(std::uint32_t buffer);
    bool settle(const Sighting &sighting, const std::byte *&bytes, int &failed);
    void add_read(std::uint32_t buffer, const LoadItem &item);
    void submit();
    void finish(const IoRequest &request);
    void finish_some();
    void wait_for(std::uint32_t buffer);

    struct Free {
        void operator()(std::byte *bytes) const;
    };
    Backend &backend_;
    std::vector<std::unique_ptr<IoQueue>> queues_; // one a tier
    std::unique_ptr<std::byte[], Free> memory_;
    std::vector<Buffer> buffers_;
    std::unordered_map<std::uint32_t, std::uint32_t> buffer_of_; // page to buffer
    std::vector<Read> reads_;
    std::vector<std::uint32_t> free_, idle_reads_, new_reads_;
    std::vector<IoRequest *> starting_; // kept for its memory, as sightings_
    std::vector<std::uint32_t> held_;   // by the last fetch()'s caller
    std::vector<Sighting> sightings_;
    std::uint64_t turn_ = 0;
};

} // namespace tidemark
