// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/loader.h"

#include "base/check.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tidemark {

void Loader::Free::operator()(std::byte *bytes) const {
    std::free(bytes);
}

Loader::Loader(std::span<const std::unique_ptr<Tier>> tiers, std::uint32_t pages)
    : tiers_(tiers), pages_(pages) {
    items.reserve(pages);
    requests_.reserve(pages);
    requested_.reserve(pages);
    void *bytes = std::aligned_alloc(kPageSize, bytes_of(dram_pages(pages)));
    TIDEMARK_CHECK(bytes != nullptr);
    std::memset(bytes, 0,
                bytes_of(dram_pages(pages))); // the last page stays zero: padding for write()
    buffer_.reset(static_cast<std::byte *>(bytes));
}

Result<std::unique_ptr<Loader>> Loader::open(std::span<const std::unique_ptr<Tier>> tiers,
                                             std::uint32_t pages, bool waits) {
    std::unique_ptr<Loader> loader(new Loader(tiers, pages));
    auto frame = Frame::map();
    if (!frame)
        return tl::unexpected<Error>(frame.error());
    loader->frame_ = std::move(*frame);
    for (std::size_t i = 0; waits && i < tiers.size(); ++i) {
        auto queue = tiers[i]->disk().open_queue(pages);
        if (!queue)
            return tl::unexpected<Error>(queue.error());
        loader->queues_.push_back(std::move(*queue));
    }
    return loader;
}

IoRequest Loader::make_request(std::size_t first, std::size_t count) {
    IoRequest request;
    request.offset = items[first].slot.byte_offset();
    request.parts.push_back({page_bytes(first), count * kPageSize});
    request.disk = items[first].tier;
    return request;
}

std::size_t Loader::arrange() {
    std::sort(items.begin(), items.end(), [](const LoadItem &a, const LoadItem &b) {
        return std::pair(a.tier, a.slot) < std::pair(b.tier, b.slot);
    });
    std::size_t count = 0;
    for (std::size_t first = 0; first < items.size(); first = request_end(first))
        ++count;
    return count;
}

// Neighbouring slots of one tier make one request.
std::size_t Loader::request_end(std::size_t first) const {
    std::size_t end = first + 1;
    while (end < items.size() && end - first < kRequestPages &&
           items[end].tier == items[first].tier &&
           items[end].slot.value == items[end - 1].slot.value + 1)
        ++end;
    return end;
}

std::span<IoRequest> Loader::requests(bool demand) {
    TIDEMARK_CHECK(!items.empty() && items.size() <= pages_);
    requests_.clear();
    requested_.clear();
    for (std::size_t first = 0; first < items.size();) {
        // The demanded page goes alone, so that it need not wait for its neighbours.
        const std::size_t end = demand && first == 0 ? 1 : request_end(first);
        requests_.push_back(make_request(first, end - first));
        requested_.push_back({first, end - first});
        first = end;
    }
    return requests_;
}

void Loader::read(bool demand, const std::function<void(std::size_t, std::size_t)> &done) {
    for (IoRequest &request : requests(demand)) {
        IoRequest *const one = &request;
        queues_[request.disk]->submit({&one, 1}, Start::with_wait);
    }
    for (const auto &queue : queues_)
        while (const IoRequest *request = queue->wait_one()) {
            const Items settled = settle(*request);
            done(settled.first, settled.count);
        }
}

Loader::Items Loader::settle(const IoRequest &request) {
    const Items asked = requested_[static_cast<std::size_t>(&request - requests_.data())];
    TierCounters &counters = tiers_[request.disk]->counters();
    const bool good = request.result == static_cast<std::int64_t>(bytes_of(asked.count));
    if (good)
        counters.read_bytes += bytes_of(asked.count);
    else
        ++counters.read_errors;
    for (std::size_t i = asked.first; i < asked.first + asked.count; ++i)
        if (!good || !verify(items[i], i))
            read_again(items[i], i);
    return asked;
}

bool Loader::verify(LoadItem &item, std::size_t index) {
    item.error = page_checksum(page_bytes(index)) == item.checksum ? 0 : EBADMSG;
    if (item.error != 0)
        ++tiers_[item.tier]->counters().checksum_errors;
    return item.error == 0;
}

// One page on its own. Uses a queue that may have other requests in flight, so it opens its own.
void Loader::read_again(LoadItem &item, std::size_t index) {
    TierCounters &counters = tiers_[item.tier]->counters();
    auto queue = tiers_[item.tier]->disk().open_queue(1);
    item.error = EIO;
    for (int attempt = 1; attempt < kAttempts && queue; ++attempt) {
        IoRequest request = make_request(index, 1);
        IoRequest *const one = &request;
        (*queue)->submit({&one, 1});
        TIDEMARK_CHECK((*queue)->wait_one() == one);
        if (request.result != static_cast<std::int64_t>(kPageSize)) {
            ++counters.read_errors;
            item.error = request.result < 0 ? static_cast<int>(-request.result) : EIO;
            continue;
        }
        counters.read_bytes += kPageSize;
        if (verify(item, index))
            return;
    }
}

int Loader::write(std::size_t tier, SlotRun run, std::size_t count) {
    TIDEMARK_CHECK(count <= run.count && run.count <= pages_);
    IoRequest request;
    request.write = true;
    request.offset = run.first.byte_offset();
    request.parts.push_back({buffer_.get(), count * kPageSize});
    for (std::size_t i = count; i < run.count; ++i)
        request.parts.push_back({page_bytes(pages_), kPageSize});
    const std::uint64_t length = request.length();
    IoRequest *const one = &request;
    queues_[tier]->submit({&one, 1});
    TIDEMARK_CHECK(queues_[tier]->wait_one() == one);
    TierCounters &counters = tiers_[tier]->counters();
    if (request.result != static_cast<std::int64_t>(length)) {
        ++counters.write_errors;
        return request.result < 0 ? static_cast<int>(-request.result) : EIO;
    }
    counters.count_write(length);
    return 0;
}

} // namespace tidemark
