// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads pages from their slots into a bounce buffer and verifies them. The pages belong to whoever has the
// loader (state loading) while it works. Knows nothing of page states.
//
//    read()                          all at once, waiting, over queues of its own
//    requests() ... settle() of each the same in two halves, for who waits elsewhere
//    arrange() before either         so that neither makes more requests than it must
#pragma once

#include "base/result.h"
#include "base/units.h"
#include "store/tier.h"
#include "sys/frame.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace tidemark {

struct LoadItem {
    std::uint64_t checksum = 0;
    PageIndex page;
    Slot slot;
    int error = 0;             // after the read: 0, EIO, EBADMSG (checksum) ...
    std::uint16_t request = 0; // of those it is read with, for whoever keeps several
    std::uint8_t tier = 0;
};

class Loader {
  public:
    static constexpr std::uint32_t kPages = 64;
    static constexpr std::uint32_t kMostPages = 256; // of who brings in whole working sets
    // Of one request: what is in can be verified and mapped while more is being read.
    static constexpr std::uint32_t kRequestPages = 64;
    static constexpr int kAttempts = 3; // a failed or corrupt page is read this often in all
    struct Items {                      // of one request
        std::size_t first = 0, count = 0;
    };

    // pages: the most it reads at a time. waits: it gets queues of its own, for read() and write().
    static Result<std::unique_ptr<Loader>> open(std::span<const std::unique_ptr<Tier>> tiers,
                                                std::uint32_t pages, bool waits);

    // The pages of one read. items[0] is read first and on its own if `demand`.
    std::vector<LoadItem> items;
    bool full() const { return items.size() >= pages_; }
    // Puts items into the order of their slots; returns how many requests will read them.
    std::size_t arrange();
    // DRAM for its buffer and a page of padding.
    static constexpr std::uint32_t dram_pages(std::uint32_t pages) { return pages + 1; }
    // Empty between uses: for what is mapped 2 MiB at a time.
    Frame &frame() { return *frame_; }
    std::byte *page_bytes(std::size_t item) { return buffer_.get() + item * kPageSize; }

    // Reads all items. done(first, count) is called as pieces arrive, each item exactly once, its
    // `error` set and, where that is 0, its bytes verified.
    void read(bool demand, const std::function<void(std::size_t first, std::size_t count)> &done);
    // What is to be read for them; each request is given back to settle() once it is finished.
    std::span<IoRequest> requests(bool demand);
    Items settle(const IoRequest &request);

    // Writes `count` pages of the buffer (from item 0) to a run of slots, padded with zeros up to
    // run.count; 0 or a positive errno.
    int write(std::size_t tier, SlotRun run, std::size_t count);

  private:
    Loader(std::span<const std::unique_ptr<Tier>> tiers, std::uint32_t pages);
    std::size_t request_end(std::size_t first) const;
    IoRequest make_request(std::size_t first, std::size_t count);
    void read_again(LoadItem &item, std::size_t index);
    bool verify(LoadItem &item, std::size_t index);

    struct Free {
        void operator()(std::byte *bytes) const;
    };
    std::span<const std::unique_ptr<Tier>> tiers_;
    const std::uint32_t pages_;
    std::vector<std::unique_ptr<IoQueue>> queues_; // one a tier, or none
    std::vector<IoRequest> requests_;
    std::vector<Items> requested_; // by each of them
    std::unique_ptr<std::byte[], Free> buffer_;
    std::unique_ptr<Frame> frame_;
};

} // namespace tidemark
