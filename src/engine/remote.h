// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a backend keeps of pages whose bytes are still at the host the guest comes from (postcopy.cc).
#pragma once

#include "engine/transit.h"

#include <functional>
#include <memory>
#include <vector>

namespace tidemark {

struct RemotePages {
    struct Wait {
        Fault fault;
        bool told = false; // take_wanted() has named it
    };
    // Null: no page is, nor can become, remote. Shared, because it is called unlocked and may be replaced then.
    std::shared_ptr<const std::function<void()>> wanted;
    std::vector<Wait> waits;      // one a page and thread: as many as there are threads that fault
    std::uint32_t delivering = 0; // callers that wait for DRAM
};

} // namespace tidemark
