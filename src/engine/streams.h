// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the next faults are expected: streams that walk through memory, page by page or in strides,
// up or down, several of them interleaved.
//
//    fault at no expected place   the nearest stream takes it as a trial of a stride; two equal strides in a
//                                 row make it a stream of that stride. None near: a new stream, page by page
//    fault at an expected place   the window grows fourfold, from the third fault on: what lies across two pages
//                                 is no walk
//
// Pages a stream steps over because they are in DRAM raise no fault, so a fault may be several strides on: if none
// of those in between would have raised one.
#pragma once

#include "base/units.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace tidemark {

struct Ahead {
    std::uint32_t pages = 1; // worth having, the fault's own among them
    std::int32_t stride = 1; // pages from one to the next
    bool walks() const { return pages > 1; }
    bool in_order() const { return stride == 1; }
    std::uint32_t row() const { return in_order() ? pages : 1; } // pages side by side
};

class Streams {
  public:
    static constexpr std::uint32_t kMost = 64; // pages of a window
    // True for a page whose use raises a fault.
    using Faults = std::function<bool(PageIndex)>;

    explicit Streams(Faults faults = [](PageIndex) { return false; })
        : faults_(std::move(faults)) {}

    // What is worth having with a fault at `page`, at most `most` pages.
    Ahead look(PageIndex page, std::uint32_t most) const;
    // The fault was at `page`, and `pages` of its stream, counted from there, are or will be in DRAM, `read` of
    // them read for its sake. Returns how many read earlier the walk has gone over by coming here.
    std::uint32_t served(PageIndex page, std::uint32_t pages, std::uint32_t read = 0);
    // The same where nothing was to be read, because what comes next is of another kind: a walk goes on as it was.
    void passed(PageIndex page, std::uint32_t pages);
    // Pages from this one on that a walk in order has gone over already, reading those that had to be read. The others
    // fault when the guest comes to them, which tells nothing new of the walk. 0: none has.
    std::uint32_t gone_over(PageIndex page) const;
    // How many go through memory in order of late, each for a whole window at least.
    std::size_t walks() const;
    // What walks have gone over since one was last seen to go on, before it is thought to have ended.
    static constexpr std::uint64_t kRecent = std::uint64_t{8} * kRegionPages;

  private:
    struct Stream {
        std::int64_t next = -1; // the page expected
        std::int64_t last = 0;  // the last fault
        std::int32_t stride = 1;
        std::int32_t trial = 0;   // what the stride would be if the last fault began one
        std::uint32_t window = 0; // of the last fault; 0: no stream
        std::uint32_t slack = 0;  // strides beyond `next` at which a fault is expected, too
        std::uint32_t read = 0;   // pages read ahead with the last fault
        std::uint64_t seen = 0;   // walked_ as of then, if it is a walk
        bool walks() const { return stride == 1 && window * 4 >= kMost; }
    };
    bool expects(const Stream &stream, std::int64_t page) const;
    Stream *nearest(std::int64_t page);

    Faults faults_;
    std::array<Stream, 16> streams_{};
    std::size_t oldest_ = 0;
    std::uint64_t walked_ = 0; // pages, by all walks
};

} // namespace tidemark
