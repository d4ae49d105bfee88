// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads pages from their slots into a bounce buffer and verifies them. One per thread that reads; the
// pages belong to that thread (state loading) while it works. Knows nothing of page states.
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
    PageIndex page;
    Slot slot;
    std::uint8_t tier = 0;
    std::uint64_t checksum = 0;
    int error = 0;             // after the read: 0, EIO, EBADMSG (checksum) ...
    std::uint16_t request = 0; // of those it is read with, for whoever keeps several
};

class Loader {
  public:
    static constexpr std::uint32_t kPages = 64;
    static constexpr int kAttempts = 3; // a failed or corrupt page is read this often in all

    static Result<std::unique_ptr<Loader>> open(std::span<const std::unique_ptr<Tier>> tiers);

    // The pages of one read, at most kPages. items[0] is read first and on its own if `demand`.
    std::vector<LoadItem> items;
    // Empty between uses: for what is mapped 2 MiB at a time.
    Frame &frame() { return *frame_; }
    std::byte *page_bytes(std::size_t item) { return buffer_.get() + item * kPageSize; }

    // Reads all items. done(first, count) is called as pieces arrive, each item exactly once, its
    // `error` set and, where that is 0, its bytes verified.
    // meanwhile() is called once, when the disk has everything.
    void read(
        bool demand, const std::function<void(std::size_t first, std::size_t count)> &done,
        const std::function<void()> &meanwhile = [] {});

    // Writes `count` pages of the buffer (from item 0) to a run of slots, padded with zeros up to
    // run.count; 0 or a positive errno.
    int write(std::size_t tier, SlotRun run, std::size_t count);

  private:
    explicit Loader(std::span<const std::unique_ptr<Tier>> tiers);
    IoRequest make_request(std::size_t first, std::size_t count);
    void settle(IoRequest &request);
    void read_again(LoadItem &item, std::size_t index);
    bool verify(LoadItem &item, std::size_t index);

    struct Free {
        void operator()(std::byte *bytes) const;
    };
    std::span<const std::unique_ptr<Tier>> tiers_;
    std::vector<std::unique_ptr<IoQueue>> queues_;
    std::unique_ptr<std::byte[], Free> buffer_;
    std::unique_ptr<Frame> frame_;
};

} // namespace tidemark
