// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/loader.h"

#include "base/check.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace tidemark {

namespace {
constexpr std::uint64_t pack(std::size_t first, std::size_t count) {
    return (std::uint64_t{first} << 32) | count;
}
} // namespace

void Loader::Free::operator()(std::byte *bytes) const {
    std::free(bytes);
}

Loader::Loader(std::span<const std::unique_ptr<Tier>> tiers) : tiers_(tiers) {
    items.reserve(kPages);
    void *bytes = std::aligned_alloc(kPageSize, (kPages + 1) * kPageSize);
    TIDEMARK_CHECK(bytes != nullptr);
    std::memset(bytes, 0,
                (kPages + 1) * kPageSize); // the last page stays zero: padding for write()
    buffer_.reset(static_cast<std::byte *>(bytes));
}

Result<std::unique_ptr<Loader>> Loader::open(std::span<const std::unique_ptr<Tier>> tiers) {
    std::unique_ptr<Loader> loader(new Loader(tiers));
    auto frame = Frame::map();
    if (!frame)
        return tl::unexpected<Error>(frame.error());
    loader->frame_ = std::move(*frame);
    for (const auto &tier : tiers) {
        auto queue = tier->disk().open_queue(kPages);
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
    request.tag = pack(first, count);
    return request;
}

void Loader::read(bool demand, const std::function<void(std::size_t, std::size_t)> &done,
                  const std::function<void()> &meanwhile) {
    TIDEMARK_CHECK(!items.empty() && items.size() <= kPages);
    // Neighbouring slots of one tier make one request; the demanded page goes alone, so that it need
    // not wait for its neighbours.
    std::vector<IoRequest> requests;
    requests.reserve(items.size());
    for (std::size_t first = 0; first < items.size();) {
        std::size_t end = first + 1;
        if (!(demand && first == 0))
            while (end < items.size() && items[end].tier == items[first].tier &&
                   items[end].slot.value == items[end - 1].slot.value + 1)
                ++end;
        requests.push_back(make_request(first, end - first));
        first = end;
    }
    for (IoRequest &request : requests) {
        IoRequest *const one = &request;
        queues_[items[request.tag >> 32].tier]->submit({&one, 1});
    }
    meanwhile();
    for (const auto &queue : queues_)
        while (IoRequest *request = queue->wait_one()) {
            settle(*request);
            done(request->tag >> 32, request->tag & UINT32_MAX);
        }
}

void Loader::settle(IoRequest &request) {
    const std::size_t first = request.tag >> 32, count = request.tag & UINT32_MAX;
    TierCounters &counters = tiers_[items[first].tier]->counters();
    const bool good = request.result == static_cast<std::int64_t>(count * kPageSize);
    if (good)
        counters.read_bytes += count * kPageSize;
    else
        ++counters.read_errors;
    for (std::size_t i = first; i < first + count; ++i)
        if (!good || !verify(items[i], i))
            read_again(items[i], i);
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
    TIDEMARK_CHECK(count <= run.count && count <= kPages && run.count <= kPages);
    IoRequest request;
    request.write = true;
    request.offset = run.first.byte_offset();
    request.parts.push_back({buffer_.get(), count * kPageSize});
    for (std::size_t i = count; i < run.count; ++i)
        request.parts.push_back({page_bytes(kPages), kPageSize});
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
