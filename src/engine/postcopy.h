// SPDX-License-Identifier: GPL-2.0-or-later
//
// A guest that runs here while some of its pages are still at the host it comes from; see tidemark_postcopy.h. Part
// of Backend in all but the file.
#pragma once

#include "engine/backend.h"

#include <functional>
#include <optional>
#include <vector>

namespace tidemark {

struct WantedPage {
    PageIndex page;
    std::int32_t thread_id = 0; // that waits for it
};

class Postcopy {
  public:
    // wanted() is called with no lock held.
    static Result<void> begin(Backend &b, std::function<void()> wanted);
    static bool mark(Backend &b, PageRun run); // false: not begun
    static std::vector<WantedPage> take_wanted(Backend &b, std::size_t most);
    // bytes nullptr: zeros. 0, or EAGAIN: no DRAM in time.
    static int deliver(Backend &b, PageIndex page, const std::byte *bytes);
    static std::uint32_t end(Backend &b); // returns how many have not come
    static bool thread_waits(Backend &b, std::int32_t thread_id);

    // For those who serve faults and discard.
    static bool want(Backend &b, const Fault &fault) TIDEMARK_REQUIRES(b.mutex_);
    static void tell(Backend &b);
    static void release_waits(Backend &b, PageIndex page) TIDEMARK_REQUIRES(b.mutex_);

  private:
    struct Delivery {      // how one page that has come is taken over; it is charged and in transit
        bool done = false; // nothing is left to do
        bool to_shadow = false; // else into R
        std::vector<Fault> waits;
    };
    static std::optional<Delivery> plan_delivery(Backend &b, PageIndex page, bool zero)
        TIDEMARK_REQUIRES(b.mutex_);
};

} // namespace tidemark
